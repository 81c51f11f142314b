"""How usual image files are: the discriminator's opinion, or how near the generator comes."""

import json

import numpy as np
import pytest
from PIL import Image

from gansmith import api
from gansmith.core.errors import DataError
from gansmith.inference import score


@pytest.fixture
def files(model, tmp_path):
    """An image that the model can make, and a chequered one that it cannot."""
    odd = (255 * (np.indices((8, 8)).sum(0) % 2)).astype(np.uint8)
    for name, image in (("own", model.sample(5, seed=99).images[4][..., 0]), ("odd", odd)):
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    return tmp_path


@pytest.mark.slow
def test_what_a_generator_cannot_make_is_unusual(model, conditional, files):
    odd, own = (value for _, value in api.score(model, [files], how="inversion"))
    image = np.array(Image.open(files / "own.png"))[..., None]
    assert own == api.invert(model, image).psnr_db
    assert own > odd + 10
    assert api.score(model, [files]) == api.score(model, [files], how="discriminator")
    assert len(api.score(conditional, [files / "own.png"], how="inversion")) == 1  # its label is found


def test_there_are_two_ways_to_score(refused, model, files):
    with refused("cli.unknown_way_to_score"):
        api.score(model, [files], how="invert")


@pytest.fixture
def many(tmp_path):
    """Nine images in a tree, and a damaged one."""
    for number in range(9):
        path = tmp_path / "in" / str(number % 3) / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), 20 * number).save(path)
    (tmp_path / "in" / "0" / "bad.png").write_bytes(b"no image")
    return tmp_path / "in"


def test_scores_come_while_later_images_are_not_read(model, many, monkeypatch):
    monkeypatch.setattr(model, "record", model.record.model_copy(update={"sample_batch": 1}))
    read, fitted = list[str](), score._fitted
    monkeypatch.setattr(score, "_fitted", lambda file, spec: read.append(file.name) or fitted(file, spec))
    scores = api.score_files(model, [many])
    next(scores)
    assert len(read) == score.BATCHES_AT_ONCE
    assert len([*scores]) == 8
    assert len(read) == 10


@pytest.mark.slow
def test_the_verb_names_what_it_could_not_score(shell, refused, prose, model, many, tmp_path):
    folder = model.save(tmp_path / "model")
    code, out, err = shell("score", folder, many)
    assert code == 0
    assert [line.split()[1] for line in out.splitlines()] == [
        str(path) for path in sorted(many.rglob("*.png")) if path.stem != "bad"
    ]
    prose("score with a damaged image", err)
    with refused("data.some_unreadable"):
        api.score(model, [many / "0" / "bad.png", many / "1" / "1.png"])


@pytest.mark.slow
def test_a_stopped_command_keeps_its_scores_and_says_how_to_go_on(shell, refused, model, many, tmp_path, monkeypatch):
    (many / "0" / "bad.png").unlink()
    monkeypatch.setattr(model, "record", model.record.model_copy(update={"sample_batch": 1}))
    folder = model.save(tmp_path / "model")
    _, out, _ = shell("score", folder, many, "--json")
    scores = json.loads(out)["scores"]
    work, calls = score._scored, 0

    def stopping(*args):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise SystemExit(143)
        return work(*args)

    monkeypatch.setattr(score, "_scored", stopping)
    code, out, err = shell("score", folder, many, "--json")
    assert code == 143
    assert json.loads(out)["scores"] == scores[:4]
    assert "4 of 9 files are scored; the same command with --skip 4 scores the others" in err
    calls = 2
    _, out, _ = shell("score", folder, many, "--json", "--skip", 4)
    assert json.loads(out)["scores"] == scores[4:]
    with refused("cli.nothing_to_score"):
        next(api.score_files(model, [many], skip=9))


@pytest.mark.slow
def test_scores_stand_beside_an_error_in_json(shell, model, many, tmp_path):
    code, out, _ = shell(
        "score", model.save(tmp_path / "model"), many / "0" / "bad.png", many / "1" / "1.png", "--json"
    )
    assert code == 2
    found = json.loads(out)
    assert [each["file"] for each in found["scores"]] == [str(many / "1" / "1.png")]
    assert found["error"]["code"] == "data.some_unreadable"


def test_every_image_of_an_array_file_is_scored(model, tmp_path):
    stack = np.random.default_rng(0).integers(0, 256, (9, 8, 8), np.uint8)
    np.save(tmp_path / "stack.npy", stack)
    Image.fromarray(stack[1]).save(tmp_path / "one.png")
    scores = dict(api.score(model, [tmp_path / "stack.npy", tmp_path / "one.png"]))
    assert [name.rpartition("/")[2] for name in scores] == [f"stack.npy#0000{row}" for row in range(9)] + ["one.png"]
    assert len(set(scores.values())) == 9
    np.save(tmp_path / "floats.npy", stack / 3)
    with pytest.raises(DataError, match="float64"):
        api.score(model, [tmp_path / "floats.npy"])
