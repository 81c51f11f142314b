"""Names of measured numbers: their text, and what is read from it."""

import pytest

from gansmith.core.metric_name import UNCOUNTED, MetricName, column_of
from gansmith.parts.extractors.base import extractors
from gansmith.parts.metrics.base import metrics
from gansmith.parts.metrics.image_similarity import BEST

NAMES = {
    "fd2k_own_train": MetricName("fd", 2000, "own", split="train"),
    "fid10k": MetricName("fd", 10_000, "inception"),
    "fid2k_train": MetricName("fd", 2000, "inception", split="train"),
    "swd500": MetricName("swd", 500),
    "fd10k_dinov2_train": MetricName("fd", 10_000, "dinov2", split="train"),
    "empty_bins400_fashion_stacked": MetricName("empty_bins", 400, "fashion_stacked"),
    "fd130_toy_b_to_a": MetricName("fd", 130, "toy", "b_to_a"),
    "l1_train": MetricName("l1", split="train"),
    "ssim_a_to_b_train": MetricName("ssim", direction="a_to_b", split="train"),
    "feature_distance_inception": MetricName("feature_distance", extractor="inception"),
    "colourfulness_ratio": MetricName("colourfulness_ratio"),
}


@pytest.mark.parametrize("text", NAMES)
def test_a_name_is_written_and_read_back(text):
    assert str(NAMES[text]) == text
    assert MetricName.parse(text) == NAMES[text]


def test_inception_is_written_for_the_frechet_distance_alone():
    assert str(MetricName("kid", 10_000, "inception")) == "kid10k"
    assert str(MetricName.parse("kid10k")) == "kid10k"


@pytest.mark.parametrize("column", ["kimg", "iteration", "fd_of_one", "kinds", "d_real", "lr_generator", ""])
def test_other_columns_are_no_metrics(column):
    assert MetricName.parse(column) is None


def test_a_digit_in_the_name_of_a_metric_is_refused():
    with pytest.raises(ValueError, match="top5"):
        MetricName("top5", 1000)


def test_every_metric_and_extractor_is_read_back():
    shorts = {short for kind in metrics.names() for short in metrics.get(kind).best}
    for name in [MetricName(short, 500, extractor) for short in shorts for extractor in extractors.names()]:
        parsed = MetricName.parse(str(name))
        assert parsed is not None
        assert (parsed.metric, str(parsed)) == (name.metric, str(name))
    assert set(BEST) <= set(UNCOUNTED)


def test_a_column_is_found_whatever_its_protocol():
    columns = ["kimg", "fd_of_one", "coverage500_train", "fid500_train", "copies500_own"]
    assert column_of(columns, "fd") == "fid500_train"
    assert column_of(columns, "coverage") == "coverage500_train"
    assert column_of(columns, "diversity") == ""
