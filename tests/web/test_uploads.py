"""Images that are sent to be translated, enlarged or inverted."""

import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

import gansmith
from gansmith.web import uploads

pytestmark = pytest.mark.slow

PHOTO = np.random.default_rng(0).integers(0, 256, (41, 150, 3), np.uint8)


@pytest.fixture
def client(client_of_all):
    return client_of_all


def png(array: np.ndarray, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, form)
    return buffer.getvalue()


def pixels(content: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image)


def events(answer) -> list[tuple[str, dict]]:
    """Return the events in an answer, as name and values."""
    parts = [part.partition("\ndata: ") for part in answer.text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(values)) for name, _, values in parts]


def test_results_are_those_of_the_library(client, served_all):
    translator, enlarger = gansmith.load(served_all / "colorize.onnx"), gansmith.load(served_all / "up.onnx")
    made = client.post("/v1/models/colorize/translate", content=png(PHOTO))
    assert made.headers["content-type"] == "image/png"
    assert np.array_equal(pixels(made.content), gansmith.translate(translator, PHOTO).array)
    made = client.post("/v1/models/up/translate", content=png(PHOTO))
    assert np.array_equal(pixels(made.content), gansmith.upscale(enlarger, PHOTO).array)


def test_alpha_stays(client):
    alpha = np.random.default_rng(1).integers(0, 256, (41, 150, 1), np.uint8)
    made = client.post("/v1/models/colorize/translate", content=png(np.concatenate([PHOTO, alpha], axis=2)))
    assert np.array_equal(pixels(made.content)[..., 3:], alpha)


def test_progress_by_tiles_as_events(client):
    wide = np.zeros((20, 700, 3), np.uint8)
    answer = client.post("/v1/models/up/translate", content=png(wide), headers={"accept": "text/event-stream"})
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer)
    assert [name for name, _ in told] == ["progress"] * 4 + ["result"]
    assert [values["done"] for _, values in told[:-1]] == [1, 2, 3, 4]
    assert pixels(base64.b64decode(told[-1][1]["png"])).shape == (40, 1400, 3)


def test_errors_as_events(client):
    answer = client.post(
        "/v1/models/colorize/translate", content=png(PHOTO[:2]), headers={"accept": "text/event-stream"}
    )
    assert [name for name, _ in events(answer)] == ["error"]
    assert events(answer)[0][1]["code"] == "data.image_too_small_for_model"


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "data.empty"),
        (b"GIF89a nothing", 400, "image.unknown_format"),
        (b"\x00" * 1000, 400, "image.unknown_format"),
        (png(PHOTO)[:200], 400, "data.unreadable_image"),
    ],
)
def test_bodies_that_are_no_image(client, body, status, code):
    for model in ("up", "colorize"):
        answer = client.post(f"/v1/models/{model}/translate", content=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)


def test_pixels_are_limited(client, monkeypatch):
    bomb = png(np.zeros((5000, 5000, 3), np.uint8))
    answer = client.post("/v1/models/up/translate", content=bomb)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "image.too_large")
    monkeypatch.setattr(uploads, "RESULT_PIXELS", 20_000)
    answer = client.post("/v1/models/up/translate", content=png(PHOTO))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "data.enlarged_too_large")
    assert client.post("/v1/models/colorize/translate", content=png(PHOTO)).status_code == 200


def test_a_damaged_image_is_refused_before_a_search_starts(client, monkeypatch):
    monkeypatch.setattr(uploads, "child_lines", lambda *_: pytest.fail("a process was started"))
    answer = client.post("/v1/models/plain/invert", content=png(PHOTO)[:900])
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "data.unreadable_image"


def test_a_label_that_no_process_can_be_given(client):
    answer = client.post("/v1/models/plain/invert?label=%00", content=png(PHOTO))
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "web.invalid")


def test_models_that_take_no_image(client):
    answer = client.post("/v1/models/plain/translate", content=png(PHOTO))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "model.other_method")
    answer = client.post("/v1/models/cond/invert", content=png(PHOTO))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "model.needs_weights")
    answer = client.post("/v1/models/colorize/translate?generator=b_to_a", content=png(PHOTO))
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "web.unknown_generator")


def test_the_latent_of_an_image_is_found_in_a_process_of_its_own(client):
    target = client.get("/v1/models/plain/image.png?seeds=9:7").content
    answer = client.post("/v1/models/plain/invert?steps=40", content=target, headers={"accept": "text/event-stream"})
    told = events(answer)
    assert {name for name, _ in told[:-1]} == {"progress"}
    assert told[-2][1] == {"done": 40, "total": 40}
    name, found = told[-1]
    assert name == "result", found
    assert found["psnr_db"] > found["random_best_db"]
    made = client.get(f"/v1/models/plain/image.png?latent={found['latent']}").content
    error = np.square(pixels(made).astype(float) - pixels(target)).mean()
    assert np.isclose(10 * np.log10(255**2 / error), found["psnr_db"], atol=0.5), "the page shows what was found"
    assert client.post("/v1/models/colorize/translate", content=png(PHOTO)).status_code == 200
