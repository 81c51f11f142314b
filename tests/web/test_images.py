"""Pictures over HTTP: equal to those of the library, exact permalinks, refusals."""

import io
import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

import gansmith
from gansmith.imaging.images import make_grid
from gansmith.web.drawing import unpacked
from small_models import CLASSES

PLAIN, COND = "/v1/models/plain", "/v1/models/cond"


def pixels(answer) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    with Image.open(io.BytesIO(answer.content)) as image:
        found = np.asarray(image)
    return found[..., None] if found.ndim == 2 else found


@pytest.fixture(scope="module")
def plain(served):
    return gansmith.load(served / "plain" / "generator.onnx")


@pytest.fixture(scope="module")
def cond(served):
    return gansmith.load(served / "cond.onnx")


@pytest.mark.slow
def test_images_are_those_of_the_command_line(client, plain, cond):
    wanted = gansmith.pick(plain, "3,7:9", truncation=0.7).images
    assert np.array_equal(pixels(client.get(f"{PLAIN}/image.png?seeds=3&truncation=0.7")), wanted[0])
    assert np.array_equal(pixels(client.get(f"{PLAIN}/image.png?seeds=7:9&truncation=0.7")), wanted[1])
    for number in (0, 9, 23):  # each has a class of its own
        wanted = gansmith.pick(cond, str(number)).images[0]
        assert np.array_equal(pixels(client.get(f"{COND}/image.png?seeds={number}")), wanted)
    gray = gansmith.pick(cond, "3", label="gray").images[0]
    for label in ("gray", "1", "gray:0.4", "1:2"):
        assert np.array_equal(pixels(client.get(f"{COND}/image.png?seeds=3&labels={label}")), gray)


@pytest.mark.slow
def test_a_grid_holds_the_images_it_names(client, plain):
    images = gansmith.pick(plain, "0,1,2,3,7:5,7:6").images
    made = pixels(client.get(f"{PLAIN}/grid.png?seeds=0-3,7:5-6&columns=4&gap=1"))
    assert np.array_equal(made, make_grid(images, 4, gap_px=1))


def test_frames_of_a_walk_lie_side_by_side(client, plain):
    frames = gansmith.interpolate(plain, "3,9", frames=5, closed=False).images
    made = pixels(client.get(f"{PLAIN}/strip.png?at=seeds%3D3&at=seeds%3D9&frames=5&closed=0"))
    assert np.array_equal(made, np.concatenate(list(frames), axis=1))
    still = pixels(client.get(f"{PLAIN}/strip.png?at=seeds%3D3&frames=2"))
    assert np.array_equal(still, np.concatenate([frames[0]] * 2, axis=1))


def test_a_film_of_states_that_no_seed_has(client):
    at = "at=seeds%3D3%26moves%3Dz1%3A2&at=seeds%3D3,4%26weights%3D0.5,-1"
    film = client.get(f"{PLAIN}/walk.gif?{at}&frames=4&seconds=2")
    with Image.open(io.BytesIO(film.content)) as opened:
        assert (opened.n_frames, opened.size, opened.info["duration"]) == (4, (256, 256), 500)
    assert film.headers["content-type"] == "image/gif"


@pytest.mark.slow
def test_a_film_as_mp4(client):
    film = client.get(f"{PLAIN}/walk.mp4?at=seeds%3D3&at=seeds%3D4&frames=4")
    assert film.headers["content-type"] == "video/mp4"
    assert film.content[4:8] == b"ftyp"


def test_the_mean_of_seeds_is_as_spread_as_one_seed(client):
    def latent(**state):
        return unpacked(client.post(f"{PLAIN}/latent", json=state).json()["latent"]).astype(np.float64)

    three, four = latent(seeds=["3"]), latent(seeds=["4"])
    made = latent(seeds=["3", "4"], weights=[3, -4])
    assert np.allclose(made, (3 * three - 4 * four) / 5, atol=1e-6)
    assert np.allclose(latent(seeds=["3", "4"], weights=[2, 0]), three)
    assert np.allclose(latent(seeds=["3", "3", "4"], weights=[1, 2, -4]), made, atol=1e-6), "a seed twice counts once"
    assert np.allclose(latent(seeds=["3"], moves={"z2": 1.5}) - three, [0, 0, 1.5, 0], atol=1e-6)
    along = latent(seeds=["3"], moves={"dir1": 2}) - three
    assert np.isclose(np.linalg.norm(along), 2, atol=1e-5)


def test_a_latent_comes_back_as_the_image_of_its_state(client):
    told = client.post(f"{COND}/latent", json={"seeds": ["3", "9"], "labels": {"dark": 1, "2": 3}}).json()
    assert told["labels"] == {"dark": 0.25, "light": 0.75}
    by_state = client.get(f"{COND}/image.png?seeds=3,9&labels=dark:1,2:3")
    by_latent = client.get(f"{COND}/image.png?latent={told['latent']}&labels=0:0.25,light:0.75")
    assert np.array_equal(pixels(by_state), pixels(by_latent))


def test_directions_are_those_of_the_command_line(client, model):
    wanted = gansmith.directions(model, 4).vectors.numpy()
    base = client.post(f"{PLAIN}/latent", json={"seeds": ["0"]}).json()["latent"]
    assert client.get(PLAIN).json()["directions"] == ["dir0", "dir1", "dir2", "dir3"]
    for number, vector in enumerate(wanted):
        moved = client.post(f"{PLAIN}/latent", json={"seeds": ["0"], "moves": {f"dir{number}": 1}}).json()["latent"]
        assert np.allclose(unpacked(moved) - unpacked(base), vector, atol=1e-5)


def test_a_picture_says_how_it_is_drawn_again(client):
    answer = client.get(f"{COND}/image.png?seeds=3,7:4&weights=0.25,0.75&labels=gray&moves=z0:-1")
    with Image.open(io.BytesIO(answer.content)) as image:
        told = json.loads(image.text["gansmith"])
    assert (told["model"], told["version"]) == ("cond", client.get(COND).json()["version"])
    (state,) = told["states"]
    again = client.post(f"{COND}/latent", json=state)
    assert again.json() == client.post(f"{COND}/latent", json={**state, "labels": {"1": 5}}).json()
    assert state["seeds"] == ["3", "7:4"]


# --- permalinks ---------------------------------------------------------------------------------------------------


def test_a_permalink_is_kept_for_ever_and_its_bytes_need_no_drawing(client):
    version = client.get(PLAIN).json()["version"]
    url = f"{PLAIN}/image.png?seeds=3&version={version}"
    first = client.get(url)
    assert first.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert f"version={version}" in first.headers["link"]
    again = client.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    without = client.get(f"{PLAIN}/image.png?seeds=0:3")
    assert without.headers["cache-control"] == "no-cache"
    assert (without.headers["etag"], without.content) == (first.headers["etag"], first.content)
    assert client.get(f"{PLAIN}/image.png?seeds=4").headers["etag"] != first.headers["etag"]
    other = client.get(f"{PLAIN}/image.png?seeds=3&version=0123")
    assert (other.status_code, other.json()["error"]["code"]) == (404, "web.other_version")


@pytest.mark.slow
def test_a_permalink_has_the_same_bytes_whatever_else_is_asked_at_that_moment(client):
    urls = [f"{COND}/image.png?seeds={number}" for number in range(24)]
    urls += [f"{PLAIN}/grid.png?seeds={number}-{number + 3}" for number in range(6)]
    alone = {url: client.get(url).content for url in urls}
    with ThreadPoolExecutor(12) as pool:
        together = list(pool.map(lambda url: client.get(url).content, urls * 3))
    assert together == [alone[url] for url in urls * 3]


# --- refused ------------------------------------------------------------------------------------------------------

REFUSED = {
    "image.png?seeds=-1": 400,
    "image.png?seeds=1000000": 400,
    "image.png?seeds=٣": 400,
    "image.png?seeds=9223372036854775808:1": 400,
    "image.png?seeds=1,2&weights=nan,1": 400,
    "image.png?seeds=1,2&weights=1": 400,
    "image.png?seeds=1,2&weights=0,0": 400,
    "image.png?seeds=1,1&weights=1,-1": 400,
    "image.png?seeds=1,2&weights=1e99,1": 400,
    "image.png?truncation=nan": 422,
    "image.png?truncation=0": 422,
    "image.png?truncation=inf": 422,
    "image.png?labels=dark:-1": 400,
    "image.png?labels=dark:0": 400,
    "image.png?labels=green": 400,
    "image.png?labels=7": 400,
    "image.png?moves=z4:1": 400,
    "image.png?moves=dir9:1": 400,
    "image.png?moves=z1:1e9": 400,
    "image.png?moves=q1:1": 400,
    "image.png?latent=AAAA": 400,
    "image.png?latent=AAAAAA": 400,
    "image.png?latent=AADAfwAAwH8AAMB_AADAfw": 400,  # NaN
    "grid.png?seeds=0-1000000000": 400,
    "grid.png?seeds=0-256": 400,
    "grid.png?seeds=9-3": 400,
    "grid.png?columns=1000000000": 422,
    "grid.png?columns=-1": 422,
    "strip.png?frames=5": 422,
    "strip.png?at=seeds%3D3&frames=1000000000": 422,
    "strip.png?at=seeds%3D3&at=seeds%3D4&frames=1": 400,
    "strip.png?at=nonsense": 400,
    "strip.png?at=seeds%3D3%26seeds%3D4": 400,
    "strip.png?at=seeds%3D3%26colour%3Dred": 400,
    "walk.avi?at=seeds%3D3": 422,
    "walk.gif?at=seeds%3D3&seconds=1e9": 422,
    "walk.gif?at=seeds%3D3&mode=zigzag": 422,
    "nothing.png": 404,
}


@pytest.mark.parametrize("what", REFUSED)
def test_requests_out_of_range_are_refused_and_hurt_no_other(client, what):
    answer = client.get(f"{COND}/{what}")
    assert answer.status_code == REFUSED[what], answer.text
    error = answer.json()["error"]
    assert error["code"].partition(".")[0] in {"web", "model", "cli"}
    assert "Traceback" not in error["message"]
    assert client.get(f"{COND}/image.png?seeds=3").status_code == 200


def test_a_label_is_refused_by_a_model_that_has_none(client):
    for what in ("image.png?seeds=3&labels=dark", "strip.png?at=seeds%3D3%26labels%3D0"):
        answer = client.get(f"{PLAIN}/{what}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "model.no_labels")


@pytest.mark.parametrize("name", ["nope", "..", "%2e%2e", "..%2fplain", "plain%00", "%ff", "plain.onnx", "a" * 300])
def test_models_are_named_by_the_list_alone(client, name):
    for what in ("", "/image.png", "/grid.png"):
        answer = client.get(f"/v1/models/{name}{what}")
        assert answer.status_code in (404, 422)
        assert set(answer.json()["error"]) == {"code", "message"}


def test_messages_say_what_is_allowed(client, prose):
    for what in (
        "image.png?seeds=x",
        "image.png?labels=drak",
        "image.png?moves=z9:1",
        "strip.png?at=x",
        "walk.avi?at=x",
    ):
        prose(f"answer to {what}", client.get(f"{COND}/{what}").json()["error"]["message"])
    prose("answer for an unknown model", client.get("/v1/models/plian").json()["error"]["message"])


@pytest.mark.slow
def test_a_model_of_other_images_says_so(client_of_all):
    for what in ("image.png", "grid.png", "strip.png?at=seeds%3D3"):
        answer = client_of_all.get(f"/v1/models/up/{what}")
        assert (answer.status_code, answer.json()["error"]["code"]) == (400, "model.other_method")
    assert tuple(client_of_all.get(COND).json()["classes"]) == CLASSES
