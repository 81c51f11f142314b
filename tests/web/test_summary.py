"""The first sentence on an evaluation: good, falls short, or perhaps; by numbers and their intervals."""

import pytest

from gansmith.web.judge import MEANINGS
from gansmith.web.summary import LIMITS, summarize

HELD_OUT = "held-out images"


def of(**values: tuple[float, float | None]) -> dict[str, dict[str, float | None]]:
    return {
        f"{name}2k_fashion": {"value": value, "deviation": deviation} for name, (value, deviation) in values.items()
    }


def test_a_model_within_all_limits_is_good():
    found = summarize(of(coverage=(0.8, 0.01), precision=(0.9, 0.01), copies=(0.0, 0.0)), HELD_OUT)
    assert found == {"kind": "good", "text": "Good: it copies nothing, it has variety and samples look plausible."}


def test_faults_are_named_with_their_numbers():
    found = summarize(of(coverage=(0.4, 0.01), precision=(0.9, None)), HELD_OUT)
    assert found["kind"] == "warn"
    assert "only 40% of real images" in found["text"]
    assert found["text"].endswith("; otherwise samples look plausible.")
    worse = summarize(of(coverage=(0.4, 0.01), missing_classes=(3.0, 0.0), texture=(1.5, 0.01)), HELD_OUT)
    assert worse["kind"] == "bad"
    many = summarize(
        of(
            diversity=(0.1, 0.01),
            coverage=(0.1, 0.01),
            precision=(0.1, 0.01),
            missing_classes=(9.0, 0.0),
            empty_bins=(1.0, 0.0),
        ),
        HELD_OUT,
    )
    assert many["text"].endswith("and 2 more.")
    assert [part in worse["text"] for part in ("missing: 3", "1.50 times")] == [True, True]


@pytest.mark.parametrize(("deviation", "kind"), [(0.001, "warn"), (0.2, "warn")])
def test_what_may_be_chance_is_said_to_be(deviation, kind):
    found = summarize(of(coverage=(0.55, deviation), precision=(0.9, 0.01)), HELD_OUT)
    assert found["kind"] == kind
    assert ("perhaps chance" in found["text"]) == (deviation > 0.1)


def test_training_images_as_reference_set_are_named_and_other_numbers_have_no_sentence():
    assert "trained on" in summarize(of(coverage=(0.8, 0.01)), "training images")["text"]
    assert summarize(of(fd=(3.0, 0.1)), HELD_OUT) is None


def test_limits_are_of_metrics_that_there_are():
    names = {each.metric for each in LIMITS}
    assert names <= MEANINGS.keys()
    assert {"coverage", "precision"} <= names
