"""Images of any tool: two sets against each other, without a model."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gansmith
from gansmith.cli.evaluate import _lines
from gansmith.core.errors import GansmithError
from gansmith.evaluation import images
from gansmith.evaluation.evaluate import EvaluationOptions, chosen_metrics
from gansmith.evaluation.images import without_options
from gansmith.evaluation.result import Evaluation
from gansmith.inference.load import is_model
from toy_extractor import registered_toy

TOY = EvaluationOptions(features="toy")
FD = EvaluationOptions(features="toy", metrics=("frechet",))
INCEPTION = "GANSMITH_INCEPTION"  # the variable with the path of Inception's weights


@pytest.fixture(scope="module", autouse=True)
def toy() -> Iterator[None]:
    with registered_toy(lambda pixels: pixels / 255, tells_classes=True):
        yield


def noise(count: int, seed: int, side: int = 16, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, side, side, channels), np.uint8)


def arrays(path: Path, pixels: np.ndarray, classes: tuple[str, ...] = ()) -> Path:
    named = {"labels": np.arange(len(pixels)) % len(classes), "class_names": np.array(classes)} if classes else {}
    np.savez(path, images=pixels, **named)
    return path


def files(folder: Path, pixels: np.ndarray, ending: str) -> Path:
    folder.mkdir()
    for index, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{index:04d}.{ending}")
    return folder


def evaluation(judged: Path, reference: Path, options: EvaluationOptions = TOY) -> Evaluation:
    return gansmith.evaluate(judged, reference, options=options, progress=False)[0]


def test_a_number_names_its_metric():
    names = [metric.kind for metric in chosen_metrics(("fd", "fid", "frechet", "recall", "swd"))]
    assert names == ["frechet", "precision_recall", "sliced_wasserstein"]
    with pytest.raises(GansmithError, match="unknown metric 'kld'"):
        chosen_metrics(("kld",))


@pytest.mark.slow
def test_two_sets_are_compared_by_every_metric_that_needs_no_model(tmp_path):
    judged, reference = arrays(tmp_path / "a.npz", noise(420, 1)), arrays(tmp_path / "b.npz", noise(410, 2))
    found, path = gansmith.evaluate(judged, reference, options=TOY, out=tmp_path / "out", progress=False)
    assert (found.model, found.kimg, found.title) == ("a", None, "a")
    assert set(found.numbers) == {
        "fd420_toy", "kid420_toy", "precision410_toy", "recall410_toy", "density410_toy", "coverage410_toy",
        "diversity410_toy", "ndb420_toy", "empty_bins420_toy", "swd410", "texture410", "texture_median410",
    }  # fmt: skip
    assert all(number.deviation for number in found.numbers.values())
    assert set(found.skipped) == {"class_coverage", "label_accuracy", "modes", "memorization", "inception_score"}
    assert path == tmp_path / "out" / "evaluation.json"
    assert Evaluation.read(path) == found


@pytest.mark.slow
def test_without_out_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    a, b = arrays(tmp_path / "a.npz", noise(100, 1)), arrays(tmp_path / "b.npz", noise(100, 2))
    assert gansmith.evaluate(a, b, options=FD, progress=False)[1] is None
    assert {entry.name for entry in tmp_path.iterdir()} == {"a.npz", "b.npz"}


@pytest.mark.slow
def test_the_better_set_has_the_lower_distances_within_what_the_jackknife_says(tmp_path):
    reference = arrays(tmp_path / "b.npz", noise(200, 0))
    blurred = (noise(200, 9) // 2 + np.roll(noise(200, 9) // 2, 1, 2)).astype(np.uint8)
    options = EvaluationOptions(features="toy", metrics=("frechet", "sliced_wasserstein"))
    near = [evaluation(arrays(tmp_path / f"a{k}.npz", noise(200, k)), reference, options).numbers for k in range(1, 6)]
    far = evaluation(arrays(tmp_path / "far.npz", blurred), reference, options).numbers
    for name in ("fd200_toy", "swd200"):
        values = [numbers[name].value for numbers in near]
        said = np.mean([numbers[name].deviation for numbers in near])
        assert far[name].value > max(values)
        assert np.std(values, ddof=1) / 4 < said < np.std(values, ddof=1) * 6


@pytest.mark.slow
def test_other_sizes_and_channels_are_fitted_to_the_reference_set_and_the_stamp_says_it(tmp_path, prose):
    judged = files(tmp_path / "made", noise(100, 1, side=24), "jpg")
    files(tmp_path / "more", noise(20, 3, side=24), "png")
    for image in (tmp_path / "more").iterdir():
        image.rename(judged / image.name)
    reference = arrays(tmp_path / "real.npz", noise(110, 2, channels=1))
    found = evaluation(judged, reference, FD)
    stamp = found.protocol
    assert (stamp.num_fake, stamp.num_real, stamp.num_sets) == (120, 110, 1)
    prose("stamp of two sets of images", "\n".join(_lines(found)))


@pytest.mark.slow
def test_a_set_of_the_same_format_is_not_resized(tmp_path):
    pixels = noise(100, 1, side=18)  # networks cannot grow to 18 px by doubling; 50 px images would be cut to 48
    judged, reference = files(tmp_path / "a", pixels, "png"), arrays(tmp_path / "b.npz", noise(120, 2, side=18))
    found = evaluation(judged, reference, FD)
    assert found.protocol.fit.startswith("18 x 18 px colour")
    assert not any("fitted" in line for line in found.words)


@pytest.mark.slow
def test_what_is_left_out_of_a_set_is_said(tmp_path):
    judged = files(tmp_path / "made", noise(100, 1), "png")
    (judged / "page.png").write_text("<html>404")
    reference = tmp_path / "real"
    reference.mkdir()
    for part, count in (("train", 100), ("val", 3)):
        files(reference / part, noise(count, 2), "png")
    words = "\n".join(evaluation(judged, reference, FD).words)
    assert "judged images: left out: 1 bad file: page.png (an HTML page" in words
    assert "reference images: splits: trained on train/, not on val/ with 3 images" in words


def test_weights_for_an_extractor_that_takes_none(tmp_path, refused):
    a, b = arrays(tmp_path / "a.npz", noise(60, 1)), arrays(tmp_path / "b.npz", noise(60, 2))
    with refused("metric.weights_without_extractor"):
        evaluation(a, b, EvaluationOptions(weights=tmp_path / "none.pth"))


@pytest.mark.slow
def test_an_equal_image_in_both_sets_is_reported(tmp_path):
    pixels = noise(100, 1)
    other = np.concatenate([pixels[:7], noise(100, 2)])
    found = evaluation(files(tmp_path / "a", pixels, "png"), arrays(tmp_path / "b.npz", other), FD)
    assert "7 of 100 judged images are also in the reference set, pixel for pixel" in found.words


@pytest.mark.slow
def test_few_images_give_what_means_something_and_very_few_are_refused(refused, tmp_path):
    reference = arrays(tmp_path / "b.npz", noise(120, 2))
    found = evaluation(arrays(tmp_path / "a.npz", noise(30, 1)), reference)
    assert set(found.numbers) == {"diversity30_toy", "texture30", "texture_median30"}
    assert found.numbers["diversity30_toy"].deviation
    assert "frechet" in found.skipped
    with refused("metric.nothing_measured"):
        evaluation(arrays(tmp_path / "five.npz", noise(5, 1)), reference)
    with refused("metric.evidence_missing"):
        evaluation(tmp_path / "a.npz", reference, FD)


def test_too_few_images_are_refused_before_an_extractor_is_trained(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "extractor_for", None)
    few, many = arrays(tmp_path / "a.npz", noise(19, 1)), arrays(tmp_path / "b.npz", noise(120, 2))
    for judged, reference in ((few, many), (many, few)):
        with pytest.raises(GansmithError, match="would mean anything"):
            evaluation(judged, reference, EvaluationOptions())


@pytest.mark.slow
def test_without_enough_images_for_own_the_extractor_is_untrained_and_fd_is_called_biased(tmp_path, prose):
    judged, reference = arrays(tmp_path / "a.npz", noise(110, 1)), arrays(tmp_path / "b.npz", noise(120, 2))
    found = evaluation(judged, reference, EvaluationOptions(metrics=("frechet",)))
    assert found.protocol.features == "untrained"
    prose("words on few images", "\n".join(found.words))


@pytest.mark.slow
def test_classes_count_where_the_extractor_knows_them(tmp_path):
    names = ("cat", "dog", "owl")
    judged, reference = (arrays(tmp_path / f"{k}.npz", noise(150, k), names) for k in range(2))
    found = evaluation(judged, reference)
    assert {"classes150_toy", "missing_classes150_toy", "label_accuracy150_toy", "is150_toy"} <= set(found.numbers)
    unlabelled = evaluation(arrays(tmp_path / "plain.npz", noise(150, 4)), reference)
    assert {"classes150_toy", "is150_toy"} <= set(unlabelled.numbers)
    assert unlabelled.skipped["label_accuracy"] == "needs labels of the judged images"


@pytest.mark.slow
def test_copies_are_found_where_the_training_images_are_given(refused, tmp_path):
    seen, new = noise(200, 1), noise(150, 2)
    training, reference = arrays(tmp_path / "seen.npz", seen), arrays(tmp_path / "new.npz", new)
    options = EvaluationOptions(features="toy", metrics=("memorization",), training=str(training))
    copied = arrays(tmp_path / "copied.npz", np.concatenate([seen[:60], noise(60, 3)]))
    found, path = gansmith.evaluate(copied, reference, options=options, out=tmp_path / "out", progress=False)
    assert found.numbers["copies120_toy"].value == pytest.approx(0.5, abs=0.05)
    assert path is not None
    assert (path.parent / "nearest.png").is_file()
    with refused("metric.training_is_reference"):
        evaluation(copied, training, options)


@pytest.mark.parametrize("option", [{"num": 500}, {"raw": True}, {"truncation": 1.0}, {"on_training": True}])
def test_options_of_models_are_refused_for_images(refused, tmp_path, option):
    pair = [arrays(tmp_path / f"{k}.npz", noise(100, k)) for k in range(2)]
    with refused("metric.option_for_models_only"):
        evaluation(*pair, EvaluationOptions(features="toy", **option))


@pytest.mark.slow
def test_a_path_that_is_neither_a_model_nor_images_is_refused(refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    reference = arrays(Path("b.npz"), noise(100, 1))
    Path("empty").mkdir()
    Path("notes.txt").write_text("no images")
    for name in ("nowhere", "empty", "notes.txt"):
        with refused("metric.neither_model_nor_images"):
            evaluation(Path(name), reference)
    with refused("model.pickled"):
        Path("old.pkl").write_bytes(b"0")
        evaluation(Path("old.pkl"), reference)
    with refused("metric.no_reference_images"):
        gansmith.evaluate(reference, progress=False)
    with refused("data.not_found"):
        evaluation(reference, Path("nowhere"))


def test_samples_in_a_run_folder_are_images_and_its_checkpoints_are_a_model(tmp_path):
    for name in ("checkpoints/000000100", "samples"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "run.json").write_text("{}")
    assert all(map(is_model, (tmp_path, tmp_path / "checkpoints", tmp_path / "checkpoints" / "000000100", "hf:a/b")))
    assert not is_model(tmp_path / "samples")
    assert not is_model("fashion-sample")


@pytest.mark.slow
def test_errors_say_which_of_the_two_sets_they_mean(tmp_path, prose):
    good = arrays(tmp_path / "good.npz", noise(30, 1))
    small = files(tmp_path / "small", noise(30, 2, side=4), "png")
    np.save(tmp_path / "gaps.npy", np.full((30, 16, 16), np.nan, np.float32))
    bands = tmp_path / "bands.npy"
    np.save(bands, np.zeros((30, 16, 16, 7), np.float32))
    for bad in (small, tmp_path / "gaps.npy"):
        for role, pair in (("judged", (bad, good)), ("reference", (good, bad))):
            with pytest.raises(GansmithError, match=f"^{role} images '.*{bad.name}': ") as caught:
                evaluation(*pair)
            prose("evaluate with a bad set", str(caught.value).replace(str(tmp_path), "FOLDER"))
        with pytest.raises(GansmithError, match=f"^training images.*{bad.name}'"):
            evaluation(good, good, EvaluationOptions(features="toy", training=str(bad)))
    with pytest.raises(GansmithError, match=r"judged images, '.*good.npz', have 3 channels, and .*'.*bands.npy', 7"):
        evaluation(good, bands)


def test_what_is_cut_off_to_compare_is_said(tmp_path):
    wide = arrays(tmp_path / "wide.npz", np.repeat(noise(30, 1), 8, axis=2))
    found = evaluation(wide, arrays(tmp_path / "b.npz", noise(30, 2)))
    assert any("which cuts off 88% of each" in words for words in found.words)


def test_points_and_images_cannot_be_compared(refused, tmp_path):
    with refused("metric.points_and_images"):
        evaluation(arrays(tmp_path / "a.npz", noise(100, 1)), Path("gaussians-25"), FD)


@pytest.mark.slow
def test_inception_numbers_are_those_of_torch_fidelity(tmp_path):
    weights = Path(os.environ.get(INCEPTION, ""))
    if not weights.is_file():
        pytest.skip(f"set {INCEPTION} to the file with Inception's weights, see docs/judging.md")
    from torch_fidelity import calculate_metrics  # here: its import takes a second, and most machines skip

    class Images(torch.utils.data.Dataset):
        def __init__(self, pixels: np.ndarray) -> None:
            self.pixels = torch.from_numpy(pixels).permute(0, 3, 1, 2)

        def __len__(self) -> int:
            return len(self.pixels)

        def __getitem__(self, index: int) -> torch.Tensor:
            return self.pixels[index]

    pixels = noise(120, 1, side=32), noise(120, 2, side=32) // 2
    theirs = calculate_metrics(
        input1=Images(pixels[0]), input2=Images(pixels[1]), fid=True, cuda=False, verbose=False,
        feature_extractor_weights_path=str(weights),
    )  # fmt: skip
    sets = files(tmp_path / "a", pixels[0], "png"), arrays(tmp_path / "b.npz", pixels[1])
    ours = evaluation(*sets, EvaluationOptions(features="inception", weights=weights, metrics=("frechet",)))
    fid = theirs["frechet_inception_distance"]
    assert ours.numbers["fid120"].value == pytest.approx(fid, rel=1e-3)


@pytest.mark.parametrize(
    ("advice", "kept"),
    [
        ("keep the images of one type, or convert them; if they have one unit, say so: range=LOW:HIGH",
         "keep the images of one type, or convert them"),
        ("keep the images with the same bands, or take the first 3 of each: channels=3",
         "keep the images with the same bands"),
        ("to use all images without labels: labels=none; to go on with these few: allow_left_out=true",
         "change the folder until 'gansmith data check' accepts it"),
    ],
)  # fmt: skip
def test_options_of_training_are_no_advice_for_judged_images(advice, kept):
    assert without_options(f"mixed\n  {advice}") == f"mixed\n  {kept}"
