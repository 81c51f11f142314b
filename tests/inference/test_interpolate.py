import numpy as np
import pytest
from PIL import Image, ImageSequence

from gansmith import api
from gansmith.core.randomness import sample_latents
from gansmith.imaging.images import enlarge, on_white
from gansmith.inference.interpolate import lerp, slerp

SHARES = np.linspace(0, 1, 11)


def norms(latents: np.ndarray) -> np.ndarray:
    return np.linalg.norm(latents.astype(np.float64), axis=-1)


def angle(one: np.ndarray, other: np.ndarray) -> float:
    cosine = one.astype(np.float64) @ other / (norms(one) * norms(other))
    return float(np.arccos(cosine.clip(-1, 1)))


# --- arcs ---------------------------------------------------------------------------------------------------------


def test_slerp_turns_and_grows_evenly_and_keeps_its_ends():
    start, end = sample_latents(0, 0, 2, 100)
    end = end * 1.5
    points = slerp(start, end, SHARES)
    assert points.dtype == np.float32
    assert np.array_equal(points[0], start)
    assert np.array_equal(points[-1], end)
    whole = angle(start, end)
    short, long = norms(start), norms(end)
    for share, point in zip(SHARES.tolist(), points, strict=True):
        assert angle(start, point) == pytest.approx(share * whole, abs=1e-5)
        assert norms(point) == pytest.approx((1 - share) * short + share * long, rel=1e-5)


def test_slerp_ends_at_the_end_to_the_bit_even_in_its_smallest_number():
    start, end = sample_latents(0, 0, 2, 100)
    end[7] = 1e-20
    assert np.array_equal(slerp(start, end, SHARES)[-1], end)


def test_slerp_of_equal_norms_is_shoemakes():
    latents = sample_latents(0, 0, 2, 5).astype(np.float64)
    start, end = latents / norms(latents)[:, None]
    whole = angle(start, end)
    share = SHARES[:, None]
    wanted = (np.sin((1 - share) * whole) * start + np.sin(share * whole) * end) / np.sin(whole)
    assert np.allclose(slerp(start, end, SHARES), wanted, atol=1e-6)


def test_lerp_cuts_across():
    start, end = sample_latents(0, 0, 2, 100)
    points = lerp(start, end, SHARES)
    assert np.allclose(points[5], (start + end) / 2)
    assert norms(points[5]) < 0.8 * norms(start)
    assert np.array_equal(points[0], start)
    assert np.array_equal(points[-1], end)


@pytest.mark.parametrize("factor", [1.0, 2.0, 1 + 1e-7])
def test_parallel_latents_are_joined_straight(factor):
    start = sample_latents(0, 0, 1, 100)[0]
    points = slerp(start, start * np.float32(factor), SHARES)
    assert np.allclose(points, lerp(start, start * np.float32(factor), SHARES))
    assert np.isfinite(points).all()


@pytest.mark.parametrize("factor", [-1.0, -2.0])
def test_opposite_latents_are_joined_by_an_arc_that_keeps_away_from_the_origin(factor):
    start = sample_latents(0, 0, 1, 100)[0]
    points = slerp(start, start * np.float32(factor), SHARES)
    assert np.array_equal(points[-1], start * np.float32(factor))
    assert (norms(points) >= norms(start) * 0.999).all()
    assert angle(start, points[5]) == pytest.approx(np.pi / 2, abs=1e-4)
    assert np.array_equal(points, slerp(start, start * np.float32(factor), SHARES))


def test_latents_without_a_direction_are_joined_straight():
    start, zero = sample_latents(0, 0, 1, 4)[0], np.zeros(4, np.float32)
    assert np.array_equal(slerp(zero, start, SHARES), lerp(zero, start, SHARES))
    assert np.array_equal(slerp(start, zero, SHARES), lerp(start, zero, SHARES))
    one = np.ones(1, np.float32)  # on a line there is no way around
    assert np.allclose(slerp(one, -one, SHARES), lerp(one, -one, SHARES))


# --- walks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["slerp", "lerp"])
@pytest.mark.parametrize(("closed", "frames", "at"), [
    (True, 60, (0, 20, 40)), (True, 7, (0, 2, 5)), (True, 3, (0, 1, 2)), (False, 9, (0, 4, 8)), (False, 3, (0, 1, 2)),
    (True, None, (0, 20, 40)), (False, None, (0, 4, 8)),
])  # fmt: skip
def test_the_images_asked_for_are_frames_to_the_byte(model, mode, closed, frames, at):
    walk = api.interpolate(model, "3,7:9,27", frames=frames, closed=closed, mode=mode)
    assert len(walk.images) == (frames or (60 if closed else 9))
    assert {frame: name for frame, name in enumerate(walk.latents.names) if name} == dict(
        zip(at, ("3", "7:9", "27"), strict=True)
    )
    assert np.array_equal(walk.images[list(at)], api.pick(model, "3,7:9,27").images)


def test_a_closed_walk_returns_and_an_open_one_does_not(model):
    closed, opened = (api.interpolate(model, "3,9", frames=8, closed=each).latents.values for each in (True, False))
    steps = norms(np.roll(closed, -1, 0) - closed)
    assert steps.max() < 1.5 * steps.min()  # the step from the last frame to the first is like the others
    assert np.allclose(closed[5], closed[3], atol=1e-5)  # there and back on one arc
    assert norms(opened[-1] - opened[0]) > 3 * norms(opened[1] - opened[0])


def test_modes_differ_between_the_images(model):
    one, other = (api.interpolate(model, "3,9", frames=4, closed=False, mode=mode) for mode in ("slerp", "lerp"))
    assert not np.array_equal(one.latents.values[1], other.latents.values[1])


def test_many_images_get_more_frames(model):
    assert len(api.interpolate(model, range(10)).images) == 120


def test_labels_change_evenly_between_images(conditional):
    walk = api.interpolate(conditional, "3,9", frames=5, closed=False)  # dark and gray
    assert np.allclose(walk.latents.classes[:, 1], np.linspace(0, 1, 5))
    assert np.array_equal(walk.latents.classes.sum(1), np.ones(5))


def test_one_label_throughout(conditional):
    walk = api.interpolate(conditional, "3,9", frames=5, closed=False, label="light")
    assert walk.latents.classes.tolist() == [[0, 0, 1]] * 5
    assert np.array_equal(walk.images[-1], conditional.sample(10, label="light").images[9])


@pytest.mark.parametrize("closed", [True, False])
def test_from_one_label_to_another_on_one_image(conditional, closed):
    walk = api.interpolate(conditional, 3, frames=9 - closed, closed=closed, label="dark", to_label=2)
    last = 4 if closed else 8
    for number, label in ((0, "dark"), (last, "light")):
        assert np.array_equal(walk.images[number], conditional.sample(4, label=label).images[3])
    assert np.allclose(walk.latents.classes[: last + 1, 2], np.linspace(0, 1, last + 1))
    assert (walk.latents.values == walk.latents.values[0]).all()
    assert (walk.latents.names[0], walk.latents.names[last]) == ("3 dark", "3 2")


def test_from_one_label_to_another_over_three_images(conditional):
    walk = api.interpolate(conditional, "3,9,5", frames=3, closed=False, label="dark", to_label="light")
    assert walk.latents.classes.tolist() == [[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]]


@pytest.mark.parametrize(("arguments", "code"), [
    ({"seeds": "3"}, "cli.walk_of_one_image"),
    ({"mode": "slrp"}, "cli.unknown_mode"),
    ({"frames": 1}, "cli.frames_out_of_range"),
    ({"frames": 1, "closed": False}, "cli.frames_out_of_range"),
    ({"frames": 1001}, "cli.frames_out_of_range"),
    ({"to_label": "gray"}, "cli.to_label_without_label"),
    ({"label": "drak"}, "model.unknown_label"),
    ({"label": "dark", "to_label": "grey"}, "model.unknown_label"),
])  # fmt: skip
def test_walks_that_cannot_be(refused, conditional, arguments, code):
    with refused(code):
        api.interpolate(conditional, **{"seeds": "3,9", **arguments})


@pytest.mark.parametrize("words", [{"label": "dark"}, {"label": "dark", "to_label": "light"}])
def test_walk_labels_for_a_model_without_labels(refused, model, words):
    with refused("model.no_labels"):
        api.interpolate(model, "3,9", **words)


# --- files --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def walk(model):
    return api.interpolate(model, "3,9,27", frames=6)


def test_a_gif_has_every_frame_enlarged_without_blur_and_repeats(walk, tmp_path):
    with Image.open(walk.save(tmp_path / "new" / "walk.gif")) as film:
        assert film.info["loop"] == 0
        frames = [np.asarray(frame.convert("L")) for frame in ImageSequence.Iterator(film)]
        durations = [frame.info["duration"] for frame in ImageSequence.Iterator(film)]
    assert durations == [80] * 6
    for frame, image in zip(frames, walk.images, strict=True):
        assert np.array_equal(frame, enlarge(image, 256)[..., 0])


@pytest.mark.slow
def test_a_video_has_two_frames_for_each(walk, tmp_path):
    import imageio_ffmpeg

    path = walk.save(tmp_path / "walk.MP4")
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == 12
    reader = imageio_ffmpeg.read_frames(str(path))
    assert next(reader)["size"] == (256, 256)
    first = np.frombuffer(next(reader), np.uint8).reshape(256, 256, 3)
    assert np.abs(first.astype(int) - enlarge(on_white(walk.images[0]), 256)).mean() < 8


def test_a_strip_shows_every_frame_in_rows_and_names_the_images(model, tmp_path):
    walk = api.interpolate(model, "3,9", frames=15, closed=False)
    with Image.open(walk.save(tmp_path / "strip.png")) as picture:
        array = np.asarray(picture)
    assert array.shape == (2 * 118 + 3 * 8, 13 * 96 + 14 * 8, 3)
    for number in (0, 12, 13, 14):
        top, left = 8 + number // 13 * 126, 8 + number % 13 * 104
        assert np.array_equal(array[top : top + 96 : 12, left : left + 96 : 12, :1], walk.images[number])
        caption = array[top + 96 : top + 118, left : left + 96]
        assert (caption.min() < 100) == (number in (0, 14))


@pytest.mark.parametrize("name", ["walk.webm", "walk.jpg", "walk"])
def test_endings_that_a_walk_cannot_have(refused, walk, tmp_path, name):
    with refused("output.unknown_ending"):
        walk.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_a_file_in_the_way(refused, walk, tmp_path):
    (tmp_path / "file").write_text("here")
    with refused("output.file_in_the_way"):
        walk.save(tmp_path / "file" / "walk.gif")


def test_the_same_walk_is_the_same_file(model, tmp_path):
    for name in ("a.gif", "b.gif", "a.png", "b.png"):
        api.interpolate(model, "3,9", frames=4).save(tmp_path / name)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
