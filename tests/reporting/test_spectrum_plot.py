"""The plot of power spectra, alone and in the report of an evaluation."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gansmith.core.atomic_files import commit_json
from gansmith.evaluation.result import FILE, FOLDER, Evaluation, Protocol
from gansmith.parts.metrics.base import Number
from gansmith.reporting.comparison_curves import LINES
from gansmith.reporting.evaluation_section import evaluation_sections
from gansmith.reporting.spectrum_plot import draw_spectra, spectra_of

pytestmark = pytest.mark.slow

FACTS = {
    "frequencies": [0.1, 0.3, 0.5, 0.7],
    "power_real": [100.0, 10.0, 1.0, 0.5],
    "power_fake": [90.0, 20.0, 30.0, 1.0],
}


def evaluation(**facts) -> Evaluation:
    protocol = Protocol(
        features="none",
        features_sha256="",
        resize="none",
        num_real=20,
        reference="x",
        reference_fingerprint="0",
        reference_split="all of them",
        num_fake=20,
        num_sets=4,
        weights="averaged",
        truncation=None,
    )
    return Evaluation("m", 1.0, protocol, {"texture20": Number(1.5, 0.1, "4 sets", 20)}, (), {}, 0.0, facts)


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def test_each_run_has_a_line_in_its_colour():
    spectra = spectra_of({"A": evaluation(texture=FACTS), "B": evaluation(), "C": evaluation(texture=FACTS)})
    assert list(spectra) == ["A", "C"]  # B was evaluated before there was such a metric
    one, two = (pixels(draw_spectra(each, LINES)) for each in ({"A": FACTS}, {"A": FACTS, "C": FACTS}))
    assert one.shape == two.shape
    second = [int(LINES[1][place : place + 2], 16) for place in (1, 3, 5)]
    assert not (one == second).all(-1).any()
    assert (two == second).all(-1).sum() > 100


def test_the_report_shows_the_spectra_of_an_evaluation_that_has_them(tmp_path: Path):
    for name, facts in (("with", {"texture": FACTS}), ("without", {})):
        (tmp_path / name / FOLDER).mkdir(parents=True)
        commit_json(tmp_path / name / FOLDER / FILE, evaluation(**facts).to_json())
        assert ("Power spectra" in evaluation_sections(tmp_path / name, 1.0)) == (name == "with")
