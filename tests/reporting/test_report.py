"""Curves, film, model card and the one-file report."""

import base64
import hashlib
import io
import json
import re
import subprocess
import sys
import textwrap
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from matplotlib.text import Text
from PIL import Image

from gansmith.core.errors import GansmithError
from gansmith.data.base import DataSpec
from gansmith.imaging.images import enlarge, make_grid, save_png
from gansmith.imaging.video import FPS, frame_numbers, spread
from gansmith.reporting import curves
from gansmith.reporting import embedded_images as pictures
from gansmith.reporting.curves import LIMIT_BYTES, curves_figure, draw_curves
from gansmith.reporting.embedded_images import MAX_SLIDER, load_picture
from gansmith.reporting.film import FIRST_SEC, LAST_SEC, MAX_FRAMES, durations, write_film
from gansmith.reporting.health_section import health_section
from gansmith.reporting.model_card import NOT_EVALUATED, CardFacts, model_card
from gansmith.reporting.panels import PANELS
from gansmith.reporting.run_report import write_report
from gansmith.reporting.series import MAX_POINTS, extremes, robust_limits, smooth
from gansmith.runs.folder import RunFolder
from gansmith.runs.length import RunLength
from gansmith.runs.log import append_row
from small_runs import record_of

ROLLBACK = {"event": "rollback", "iteration": 60, "kimg": 6.0, "message": "not finite at 7.0 kimg: back to 6.0 kimg"}


def log_rows(count: int, *, prefix: str = "d") -> list[dict]:
    rng = np.random.default_rng(0)
    return [
        {
            "iteration": 10 * (i + 1),
            "kimg": 1.0 * (i + 1),
            "epoch": 0.1 * (i + 1),
            "loss_discriminator": 1.0 + 0.1 * rng.normal(),
            "loss_generator": 2.0 + 0.3 * rng.normal(),
            f"{prefix}_real": 0.7,
            f"{prefix}_fake": 0.3,
            f"{prefix}_fake_after": 0.2,
            "accuracy_real": 0.8,
            "accuracy_fake": 0.9,
            "grad_norm_discriminator": float(np.exp(rng.normal())),
            "grad_norm_generator": float(np.exp(rng.normal())),
            "skipped": 0,
        }
        for i in range(count)
    ]


def titles(figure) -> list[str]:
    return [axes.get_title(loc="left") for axes in figure.axes]


def line(figure, gid: str):
    found = [each for axes in figure.axes for each in axes.lines if each.get_gid() == gid]
    assert len(found) == 1, gid
    return found[0]


def texts(axes) -> list[str]:
    return [text.get_text() for text in axes.texts]


# Curves


@pytest.mark.slow
@pytest.mark.parametrize("count", [0, 1, 60, 3000])
def test_curves_are_a_small_png_for_any_number_of_rows(count: int, tmp_path: Path) -> None:
    rows = log_rows(count)
    draw_curves([*rows, ROLLBACK] if count > 2 else rows, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert image.format == "PNG"
        assert image.width > 600
        assert len(image.convert("RGB").getcolors(10**7)) > 8
    assert (tmp_path / "curves.png").stat().st_size <= LIMIT_BYTES
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


@pytest.mark.slow
def test_curves_without_rows_say_so(prose) -> None:
    for rows in ([], [ROLLBACK], [{"iteration": 1, "kimg": 1.0}]):
        prose("empty curves", "\n".join(texts(curves_figure(rows).axes[0])))


@pytest.mark.slow
def test_curves_have_a_panel_for_each_prefix_in_the_log(prose) -> None:
    every = {f"{panel.prefix}x": 0.5 for panel in PANELS if not panel.metrics}
    figure = curves_figure([{"kimg": 1.0, **every}])
    assert len(figure.axes) == len(every)
    prose("panels of the curves", "\n".join(titles(figure)))
    assert len(curves_figure(log_rows(5)).axes) == 4
    rows = [{**row, "penalty_r1": 0.1} for row in log_rows(5, prefix="score")]
    assert len(curves_figure(rows).axes) == 5


def test_probabilities_have_a_guide_at_one_half_and_norms_a_log_scale() -> None:
    figure = curves_figure(log_rows(5))
    assert any(list(each.get_ydata()) == [0.5, 0.5] for each in figure.axes[1].lines)
    assert not any(list(each.get_ydata()) == [0.5, 0.5] for each in figure.axes[0].lines)
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "linear", "linear", "log"]


def snapshots(count: int) -> list[dict[str, Any]]:
    """Rows of snapshots.jsonl, at every second kimg; the last two have mode collapse."""
    out = []
    for index in range(count):
        numbers = {"fd2k_own_train": 9.0 - index, "coverage2k_own_train": 0.1 * index, "missing2k_own_train": 0.1}
        verdict = "full_collapse" if index >= count - 2 else "healthy"
        at = {"iteration": 20 * (index + 1), "kimg": 2.0 * (index + 1)}
        out.append({**at, **numbers, "fd_of_one": 20.0, "modes": {"hat": [1.0, 1.0]}, "verdict": verdict})
    return out


@pytest.mark.slow
def test_curves_show_the_metrics_of_snapshots(prose) -> None:
    figure = curves_figure([*log_rows(12), *snapshots(6)])
    distance, shares = figure.axes[-2:]
    prose("panels of snapshots", "\n".join(titles(figure)[-2:]))
    assert [str(each.get_label()) for each in distance.lines if str(each.get_label()) == "fd"] == ["fd"]
    assert {"coverage", "missing"} <= {str(each.get_label()) for each in shares.lines}
    x = np.asarray(line(figure, "raw fd2k_own_train").get_xdata())
    np.testing.assert_array_equal(x, [2, 4, 6, 8, 10, 12])
    assert len(curves_figure(log_rows(12)).axes) == len(figure.axes) - 2


@pytest.mark.slow
def test_a_verdict_is_marked_where_it_began_not_where_it_was_logged() -> None:
    event = {"event": "health", "iteration": 100, "kimg": 10.0, "began_kimg": 4.0, "message": "full mode collapse"}
    figure = curves_figure([*log_rows(20), event])
    for axes in figure.axes:
        assert any(list(each.get_xdata()) == [4.0, 4.0] for each in axes.lines)
        assert not any(list(each.get_xdata()) == [10.0, 10.0] for each in axes.lines)


def health_of(run: RunFolder, message: str, *, has_problem: bool) -> str:
    for row in snapshots(6):
        append_row(run.snapshots, {**row, "verdict": row["verdict"] if has_problem else "healthy"})
    if has_problem:
        row = {"event": "health", "iteration": 120, "kimg": 12.0, "began_kimg": 10.0, "message": message}
        append_row(run.log, row)
    return health_section(run)


def test_health_of_a_run_with_a_problem(prose, tmp_path: Path) -> None:
    run = RunFolder.create(tmp_path / "run")
    assert health_section(run) == ""
    for iteration in (80, 100, 120):
        save_png(np.full((8, 8, 1), iteration, np.uint8), run.samples / f"{iteration:09d}-ema.png")
    page = health_of(run, "full mode collapse since 10.0 kimg: <b> & more", has_problem=True)
    assert "full mode collapse since 10.0 kimg: &lt;b&gt; &amp; more" in page
    assert (page.count('class="well"'), page.count('class="ill"')) == (4, 2)
    assert 'title="12.0 kimg: full mode collapse, fd2k_own_train 4"' in page
    assert page.index("from 2.0 to 8.0 kimg") < page.index("from 10.0 to 12.0 kimg")
    grid = load_picture(run.samples / "000000100-ema.png")
    assert grid is not None
    assert grid.uri in page
    assert "began, at 10.0 kimg</figcaption>" in page
    prose("health of a run with a problem", Page(page).text)
    assert f"gansmith diagnose {run.path}" in page


def test_health_of_a_healthy_run(tmp_path: Path) -> None:
    page = health_of(RunFolder.create(tmp_path / "run"), "", has_problem=False)
    assert '<p class="status finished">healthy</p>' in page
    assert "diagnose" not in page
    assert "<figure>" not in page


def test_probability_panel_widens_for_values_that_are_none() -> None:
    rows = log_rows(5)
    for row in rows:
        row["d_real"] = 7.0
    assert curves_figure(rows).axes[1].get_ylim()[1] > 7


def test_curves_share_an_x_axis_in_kimg_and_have_legends() -> None:
    figure = curves_figure(log_rows(5))
    assert figure.axes[-1].get_xlabel().startswith("kimg (thousands of real images shown to D)")
    assert len({axes.get_xlim() for axes in figure.axes}) == 1
    legend = [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    assert legend == ["D(x)", "D(G(z))", "D(G(z)) after D's step"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "columns",
    [
        ["accuracy_real_a", "accuracy_fake_a", "accuracy_real_b", "accuracy_fake_b"],
        ["cycle_a", "cycle_b"],
        ["update_a_to_b", "update_b_to_a", "update_discriminator_a", "update_discriminator_b"],
        [f"{metric}2k_own_train" for metric in ("coverage", "diversity", "missing", "copies")],
    ],
)
def test_the_title_of_a_panel_ends_before_its_legend(columns: list[str]) -> None:
    smallest = 0.000123  # the longest number beside a plot makes all plots narrow
    figure = curves_figure([{"iteration": 1, "kimg": 1.0, "loss_g": smallest, **dict.fromkeys(columns, 0.5)}])
    figure.draw_without_rendering()
    axes = figure.axes[1]
    title = next(text for text in axes.findobj(Text) if text.get_text() in {panel.title for panel in PANELS})
    assert title.get_window_extent().x1 < axes.get_legend().get_window_extent().x0


@pytest.mark.slow
def test_columns_of_any_method_are_drawn_by_their_prefix() -> None:
    rows = [{"iteration": 1, "kimg": 1.0, "loss_critic_$b": 1.0, "grad_norm_critic_$b": 2.0, "other": 3.0}]
    figure = curves_figure(rows)
    assert list(line(figure, "raw loss_critic_$b").get_ydata()) == [1.0]
    figure.canvas.draw()  # a dollar sign is no mathematics
    assert len(figure.axes) == 2


def test_null_breaks_the_line_and_is_marked() -> None:
    rows = log_rows(5)
    rows[2]["loss_generator"] = None
    figure = curves_figure(rows)
    values = np.asarray(line(figure, "raw loss_generator").get_ydata())
    assert np.isnan(values).tolist() == [False, False, True, False, False]
    assert list(line(figure, "missing loss_generator").get_xdata()) == [3.0]
    assert "no finite value" in [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_a_zero_norm_is_said_and_not_called_infinite() -> None:
    rows = log_rows(5)
    rows[2]["grad_norm_generator"] = 0.0
    figure = curves_figure(rows)
    assert "not drawn: 1 value of 0" in texts(figure.axes[3])
    assert not [each for each in figure.axes[3].lines if str(each.get_gid()).startswith("missing")]


@pytest.mark.slow
def test_a_column_in_some_rows_is_one_unbroken_line() -> None:
    rows = log_rows(8)
    for row in rows[::4]:
        row["penalty_r1"] = 0.1
    drawn = line(curves_figure(rows), "raw penalty_r1")
    assert list(drawn.get_xdata()) == [1.0, 5.0]
    assert np.isfinite(drawn.get_ydata()).all()


@pytest.mark.slow
def test_a_line_breaks_where_a_run_went_back() -> None:
    rows = log_rows(6)
    rows[3:] = [{**row, "kimg": row["kimg"] - 2} for row in rows[3:]]
    x = np.asarray(line(curves_figure(rows), "raw loss_generator").get_xdata())
    np.testing.assert_array_equal(x, [1, 2, 3, np.nan, 2, 3, 4])


@pytest.mark.slow
def test_events_are_labelled_and_drawn_in_every_panel() -> None:
    figure = curves_figure([*log_rows(20), ROLLBACK])
    assert "rollback" in texts(figure.axes[0])
    for axes in figure.axes:
        assert any(list(each.get_xdata()) == [6.0, 6.0] for each in axes.lines)
    near = [{**ROLLBACK, "kimg": 6.1}, {"event": "extended", "kimg": 15.0}]
    assert {"rollback x2", "extended"} <= set(texts(curves_figure([*log_rows(20), ROLLBACK, *near]).axes[0]))


@pytest.mark.slow
def test_a_diverging_loss_does_not_flatten_the_rest() -> None:
    rows = log_rows(100)
    for row in rows[95:]:
        row["loss_discriminator"] = 1e6
    figure = curves_figure(rows)
    low, high = figure.axes[0].get_ylim()
    assert low < 1
    assert 2 < high < 10
    assert "view clipped: 5 values outside, as far as 1e+06" in texts(figure.axes[0])
    assert not any("clipped" in text for text in texts(curves_figure(log_rows(100)).axes[0]))


def test_robust_limits_show_everything_unless_outliers_squeeze_it() -> None:
    calm = np.linspace(0, 1, 50)
    assert robust_limits([calm])[:2] == (0.0, 1.0)
    assert robust_limits([calm, calm + 8])[:2] == (0.0, 9.0)
    low, high, outside = robust_limits([np.append(calm, [1e5, np.nan])])
    assert (low, high < 5, outside.tolist()) == (0.0, True, [1e5])
    assert robust_limits([np.array([np.nan])])[:2] == (0.0, 1.0)


@pytest.mark.slow
def test_many_rows_get_a_strong_smooth_line_over_a_faint_one() -> None:
    figure = curves_figure(log_rows(200))
    raw, strong = line(figure, "raw loss_generator"), line(figure, "smooth loss_generator")
    assert raw.get_alpha() < 0.5
    assert strong.get_linewidth() > raw.get_linewidth()
    assert np.std(strong.get_ydata()) < 0.5 * np.std(raw.get_ydata())
    assert not [each for each in curves_figure(log_rows(20)).axes[0].lines if "smooth" in str(each.get_gid())]


def test_smoothing_keeps_constants_and_holes() -> None:
    y = np.full(100, 3.0)
    y[[0, 40]] = np.nan
    for is_log in (False, True):
        smoothed = smooth(y, is_log)
        np.testing.assert_allclose(smoothed[np.isfinite(y)], 3.0)
        assert np.isnan(smoothed[[0, 40]]).all()


def test_thinning_keeps_every_spike() -> None:
    x, y = np.arange(50_000.0), np.zeros(50_000)
    y[[12_345, 40_001]] = 9, -9
    thin_x, thin_y = extremes(x, y)
    assert len(thin_x) <= MAX_POINTS
    assert dict(zip(thin_x, thin_y, strict=True))[12_345] == 9
    assert thin_y.min() == -9


# Film


def write_frames(folder: Path, count: int, shape: tuple[int, ...] = (31, 40, 3)) -> list[Path]:
    rng, paths = np.random.default_rng(0), []
    for index in range(count):
        paths.append(folder / f"{index * 100:09d}-ema.png")
        save_png(rng.integers(0, 256, shape, np.uint8), paths[-1])
    return paths


def read_gif(path: Path) -> tuple[list[np.ndarray], list[int]]:
    frames, times = [], []
    with Image.open(path) as gif:
        for index in range(gif.n_frames):
            gif.seek(index)
            frames.append(np.asarray(gif.convert("RGB")))
            times.append(gif.info["duration"])
    return frames, times


def make_film(folder: Path, frames: list[Path], captions: list[str] | None = None) -> tuple[Path, Path]:
    gif, mp4 = folder / "film.gif", folder / "film.mp4"
    write_film(frames, captions or [f"{index} kimg" for index in range(len(frames))], gif, mp4)
    return gif, mp4


@pytest.mark.slow
def test_film_is_enlarged_by_a_whole_factor_without_blur(tmp_path: Path) -> None:
    paths = write_frames(tmp_path, 4, (31, 41, 1))
    frames, times = read_gif(make_film(tmp_path, paths)[0])
    assert len(frames) == 4
    assert times == [700, 500, 500, 1500]
    for path, frame in zip(paths, frames, strict=True):
        picture = np.asarray(Image.open(path))[..., None]
        height, width = 31 * 9, 41 * 9  # 9 is the smallest factor that gives 256 px
        np.testing.assert_array_equal(frame[:height, :width], enlarge(picture, 256).repeat(3, axis=2))
        assert frame.shape[0] > height + 20
        assert (frame.shape[0] % 2, frame.shape[1] % 2) == (0, 0)


@pytest.mark.slow
def test_colour_film_keeps_blocks_and_nearly_the_colours(tmp_path: Path) -> None:
    ramp = np.stack(np.meshgrid(np.arange(0, 256, 8), np.arange(0, 256, 8), [128]), axis=-1)[:, :, 0].astype(np.uint8)
    save_png(ramp, tmp_path / "000000000-ema.png")
    frame = read_gif(make_film(tmp_path, [tmp_path / "000000000-ema.png"])[0])[0][0]
    small = frame[: 32 * 8 : 8, : 32 * 8 : 8]
    np.testing.assert_array_equal(frame[: 32 * 8, : 32 * 8], enlarge(small, 256))
    assert np.abs(small.astype(int) - ramp).mean() < 12


@pytest.mark.slow
def test_each_caption_is_on_its_frame_and_the_bar_grows(tmp_path: Path) -> None:
    paths = write_frames(tmp_path, 1) * 3
    frames, _ = read_gif(make_film(tmp_path, paths, ["0 kimg", "120 kimg", "a caption so long " * 40])[0])
    strips = [frame[-30:-3] for frame in frames]
    assert all((strip.min(axis=2) < 128).sum() > 50 for strip in strips)
    assert (strips[0] != strips[1]).any()
    dark = [int((frame[-1, :, 0] < 128).sum()) for frame in frames]
    assert dark == [round(frames[0].shape[1] * share) for share in (1 / 3, 2 / 3, 1)]


@pytest.mark.slow
def test_video_has_the_frames_it_should_and_even_sides(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    import imageio.v2 as imageio

    _, mp4 = make_film(tmp_path, write_frames(tmp_path, 5, (33, 47, 3)))
    shown = imageio.mimread(mp4, memtest=False)
    assert len(shown) == round(sum(durations(5, 8.0)) * FPS)
    assert shown[0].shape == (33 * 8 + 30, 47 * 8, 3)
    meta = imageio.get_reader(mp4).get_meta_data()
    assert (meta["codec"], meta["fps"], meta["pix_fmt"].split("(")[0]) == ("h264", FPS, "yuv420p")
    output = capfd.readouterr()
    assert (output.out, output.err) == ("", "")


@pytest.mark.slow
def test_video_shows_the_pictures_in_their_colours(tmp_path: Path) -> None:
    import imageio.v2 as imageio

    picture = np.full((64, 64, 3), (200, 40, 90), np.uint8)
    save_png(picture, tmp_path / "000000000-ema.png")
    _, mp4 = make_film(tmp_path, [tmp_path / "000000000-ema.png"])
    middle = imageio.mimread(mp4, memtest=False)[0][100, 100]
    assert np.abs(middle.astype(int) - (200, 40, 90)).max() < 25


@pytest.mark.slow
def test_film_of_alpha_is_on_white(tmp_path: Path) -> None:
    picture = np.zeros((32, 32, 4), np.uint8)
    picture[:16] = (0, 0, 0, 255)
    save_png(picture, tmp_path / "000000000-ema.png")
    frame = read_gif(make_film(tmp_path, [tmp_path / "000000000-ema.png"])[0])[0][0]
    assert frame[:128, :256].max() == 0
    assert frame[128:256, :256].min() == 255


@pytest.mark.slow
def test_a_long_film_is_thinned_evenly_with_first_and_last(tmp_path: Path) -> None:
    paths = write_frames(tmp_path, 100, (8, 8, 1))
    gif, _ = make_film(tmp_path, paths)
    frames, times = read_gif(gif)
    assert len(frames) == MAX_FRAMES
    assert sum(times) == pytest.approx(8000, abs=10 * MAX_FRAMES)
    for path, frame in ((paths[0], frames[0]), (paths[-1], frames[-1])):
        np.testing.assert_array_equal(frame[:256:32, :256:32, 0], np.asarray(Image.open(path)))
    steps = np.diff(spread(100, MAX_FRAMES))
    assert (steps.min(), steps.max()) == (1, 2)


def test_durations_hold_the_first_and_the_last_frame() -> None:
    assert durations(1, 8.0) == [LAST_SEC]
    assert durations(2, 8.0) == [FIRST_SEC, LAST_SEC]
    assert sum(durations(40, 8.0)) == pytest.approx(8.0)
    assert sum(frame_numbers(durations(40, 8.0))) == 8 * FPS
    assert min(durations(40, 0.1)) > 0


def test_film_without_frames_is_refused(refused, tmp_path: Path) -> None:
    with refused("output.film_without_pictures"):
        make_film(tmp_path, [])


def test_film_of_pictures_of_two_sizes_is_refused_with_both(refused, tmp_path: Path) -> None:
    save_png(np.zeros((8, 8, 1), np.uint8), tmp_path / "000000000-ema.png")
    save_png(np.zeros((8, 16, 1), np.uint8), tmp_path / "000000100-ema.png")
    with refused("output.film_sizes_differ"):
        make_film(tmp_path, sorted(tmp_path.glob("*.png")))
    assert not list(tmp_path.glob("film*"))


@pytest.mark.slow
def test_film_of_the_pictures_that_are_whole(refused, tmp_path: Path) -> None:
    paths = write_frames(tmp_path, 4)
    whole = read_gif(make_film(tmp_path, [paths[0], paths[3]])[0])
    paths[1].write_bytes(paths[1].read_bytes()[:200])
    paths[2].write_bytes(b"")
    gif, mp4 = tmp_path / "film.gif", tmp_path / "film.mp4"
    assert write_film(paths, ["0 kimg", "x", "x", "1 kimg"], gif, mp4) == paths[1:3]
    assert np.array_equal(read_gif(gif)[0], whole[0])
    paths[0].write_bytes(b"")
    with refused("output.film_picture_unreadable"):
        make_film(tmp_path, paths[:3])


@pytest.mark.slow
def test_video_that_cannot_be_encoded_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import imageio_ffmpeg

    monkeypatch.setattr(imageio_ffmpeg, "count_frames_and_secs", lambda path: (3, 0.1))
    with pytest.raises(GansmithError, match=r"cannot be encoded as MP4: 3 of \d+ frames were written"):
        make_film(tmp_path, write_frames(tmp_path, 2))
    assert not (tmp_path / "film.mp4").exists()


# Model card


def card_facts(**changes) -> CardFacts:
    recipe = {
        "name": "dcgan",
        "method": {"kind": "latent", "loss": "non_saturating", "generator": {"kind": "dcgan"}, "penalties": []},
        "optimizers": {"default": {"kind": "adam", "lr": 2e-4}},
        "batch_size": 128,
    }
    values = {
        "name": "faces-001",
        "spec": DataSpec("faces", 64, 48, 3, 9000, (), "f" * 64, held_out=1000),
        "recipe_yaml": yaml.safe_dump(recipe),
        "parameters": {"generator": 3_576_704, "discriminator": 2_765_568},
        "kimg": 270.0,
        "seconds": 4000.0,
        "last_row": {"iteration": 10, "loss_generator": 1.23456, "loss_discriminator": None},
        "versions": {"gansmith": "0.1.0", "torch": "2.10.0"},
    }
    return CardFacts(**{**values, **changes})


def front_matter(card: str) -> dict:
    return yaml.safe_load(card.split("---")[1])


def test_card_has_front_matter_that_a_hub_reads() -> None:
    card = model_card(card_facts())
    assert card.startswith("---\n")
    values = front_matter(card)
    assert values["library_name"] == "gansmith"
    assert values["license"] == "other"
    assert {"gan", "image-generation"} <= set(values["tags"])
    assert values["pipeline_tag"] == "unconditional-image-generation"


def test_card_shows_every_fact(prose) -> None:
    prose("model card", textwrap.indent(model_card(card_facts()), "  "))  # its headings are none of the snapshots


def test_card_holds_the_whole_recipe_even_with_backticks() -> None:
    recipe = "name: x\nsummary: |-\n  a fence\n  ```\n  and more\n"
    card = model_card(card_facts(recipe_yaml=recipe))
    body = re.search(r"<details>.*?\n(`{3,})yaml\n(.*?)\n {0,3}\1\n", card, re.S)
    assert body is not None
    assert yaml.safe_load(body[2]) == yaml.safe_load(recipe)


def test_card_with_metrics_shows_them_instead() -> None:
    card = model_card(card_facts(), metrics={"fid10k_train": 12.3456})
    assert "| `fid10k\\_train` | 12.35 |" in card
    assert NOT_EVALUATED not in card


def test_card_of_a_conditional_model_names_classes_and_escapes_them() -> None:
    recipe = yaml.safe_dump({"name": "x", "method": {"conditional": True}})
    spec = DataSpec("a|<script>\nb", 28, 28, 1, 100, ("T-shirt", "a|b"), "0" * 64)
    card = model_card(card_facts(spec=spec, recipe_yaml=recipe))
    assert "pipeline_tag" not in front_matter(card)
    assert "conditional" in front_matter(card)["tags"]
    assert "| classes | 2: T-shirt, a\\|b |" in card
    assert "<script>" not in card
    assert "| name | a\\|&lt;script&gt; b |" in card


# HTML report


class Page(HTMLParser):
    """What a browser would find: tags with attributes, and the visible text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict]] = []
        self.text, self.scripts, self._within = "", [], ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.tags.append((tag, dict(attrs)))
        self._within = tag
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._within = ""

    def handle_data(self, data: str) -> None:
        if self._within == "script":
            self.scripts[-1] += data
        elif self._within != "style":
            self.text += data

    def all(self, tag: str) -> list[dict]:
        return [attributes for name, attributes in self.tags if name == tag]


def make_run(folder: Path, *, previews: int = 3, rows: int = 12, iterations: int = 120) -> RunFolder:
    run = RunFolder(folder)
    run.samples.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for index in range(previews):
        for kind in ("ema", "raw"):
            grid = make_grid(rng.integers(0, 256, (4, 16, 16, 3), np.uint8), 2)
            save_png(grid, run.samples / f"{index * 10:09d}-{kind}.png")
    if previews:
        save_png(make_grid(rng.integers(0, 256, (4, 16, 16, 3), np.uint8), 2), run.samples / "real.png")
    run.log.write_text("".join(json.dumps(row) + "\n" for row in log_rows(rows)))
    length = RunLength(iterations / 10, iterations, log_every=1, preview_every=1, checkpoint_every=1, source="a test")
    run.write_record(record_of(length))
    if rows:
        save_png(np.full((300, 400, 3), 200, np.uint8), run.path / "curves.png")
    run.recipe.write_text("name: tiny\nsummary: a <b> & c\n")
    return run


def report(run: RunFolder, title: str = "tiny", facts: dict[str, str] | None = None) -> Page:
    path = write_report(run, title=title, facts=facts or {})
    assert path == run.report
    return Page(path.read_text(encoding="utf-8"))


def decode(uri: str) -> Image.Image:
    kind, data = uri.split(",", 1)
    assert kind == "data:image/png;base64"
    image = Image.open(io.BytesIO(base64.b64decode(data)))
    image.load()
    return image


def test_report_needs_nothing_from_outside(tmp_path: Path) -> None:
    page = report(make_run(tmp_path / "run"))
    links = [
        (tag, name, value)
        for tag, attributes in page.tags
        for name, value in attributes.items()
        if name in ("src", "href", "srcset", "poster", "action", "data") and not str(value).startswith("data:image/png")
    ]
    assert links == []
    assert page.all("link") == []
    text = (tmp_path / "run" / "report.html").read_text()
    assert not re.search(r"https?:|url\(|@import|fetch\(", text)
    assert len(page.all("img")) == 5  # EMA, real, raw, slider, curves


def test_every_picture_decodes_and_has_an_alt_text(tmp_path: Path) -> None:
    page = report(make_run(tmp_path / "run"))
    for picture in page.all("img"):
        assert len(picture["alt"]) > 10
        assert decode(picture["src"]).width >= 38
    assert "loss_generator" in page.all("img")[-1]["alt"]


def test_a_browser_is_told_to_load_nothing_and_run_one_script(tmp_path: Path) -> None:
    page = report(make_run(tmp_path / "run"))
    policy = next(meta["content"] for meta in page.all("meta") if "http-equiv" in meta)
    assert policy.startswith("default-src 'none'; img-src data:;")
    digest = base64.b64encode(hashlib.sha256(page.scripts[-1].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy


def test_names_cannot_become_markup(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>\"'&"
    run = make_run(tmp_path / "run <script>x")
    run.log.write_text(run.log.read_text() + json.dumps({**ROLLBACK, "event": evil, "message": evil}) + "\n")
    run.recipe.write_text(f"name: {evil}\n")
    page = report(run, title=evil, facts={evil: evil})
    assert len(page.scripts) == 2
    assert not any("alert(1)" in script for script in page.scripts)
    assert page.text.count(evil) == 7  # title, heading, fact and its label, event and its message, recipe
    assert "gansmith resume '" in page.text


@pytest.mark.slow
def test_report_tells_how_far_the_run_is(tmp_path: Path) -> None:
    assert "finished at 12 kimg" in report(make_run(tmp_path / "a")).text
    assert "paused at 12 of 30 kimg" in report(make_run(tmp_path / "b", iterations=300)).text


def test_report_shows_facts_events_recipe_and_commands(prose, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.timing.write_text(json.dumps({"event": "resumed", "iteration": 3, "message": "after a stop"}) + "\n")
    run.log.write_text(run.log.read_text() + json.dumps(ROLLBACK) + "\n")
    page = report(run, facts={"data": "fashion-sample"})
    for text in ("fashion-sample", ROLLBACK["message"], "after a stop", "summary: a <b> & c", "at 2 kimg"):
        assert text in page.text
    assert page.text.index("after a stop") < page.text.index(ROLLBACK["message"])
    assert f"gansmith sample {run.path} -n 64 --seed 0" in page.text
    assert f"gansmith resume {run.path}" in page.text
    prose("report of a run", re.sub(r"\n\s*\n+", "\n", page.text))


@pytest.mark.parametrize(("method", "command"), [
    ("paired", "gansmith translate"), ("unpaired", "gansmith translate"), ("super_resolution", "gansmith upscale"),
])  # fmt: skip
def test_report_says_how_models_that_are_given_images_are_used(method, command, tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    run.recipe.write_text(f"name: x\nmethod: {{kind: {method}}}\n")
    page = report(run)
    assert f"{command} {run.path} IMAGES" in page.text
    assert "gansmith sample" not in page.text


def test_pictures_are_the_latest_and_keep_their_pixels(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    page = report(run)
    for picture, name in zip(page.all("img"), ("000000020-ema", "real", "000000020-raw"), strict=False):
        wanted = enlarge(np.asarray(Image.open(run.samples / f"{name}.png")), 512)
        np.testing.assert_array_equal(np.asarray(decode(picture["src"])), wanted)


def test_slider_steps_through_the_previews_in_order(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", previews=3)
    page = report(run)
    frames = json.loads(page.scripts[0])
    slider = next(each for each in page.all("input") if each["type"] == "range")
    assert (slider["min"], slider["max"]) == ("0", "2")
    assert [caption for _, caption in frames] == ["0 kimg", "1 kimg", "2 kimg"]
    for index, (uri, _) in enumerate(frames):
        wanted = np.asarray(Image.open(run.samples / f"{index * 10:09d}-ema.png"))
        np.testing.assert_array_equal(np.asarray(decode(uri)), wanted)


@pytest.mark.slow
def test_slider_is_bounded_and_keeps_both_ends(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", previews=100)
    frames = json.loads(report(run).scripts[0])
    assert len(frames) == MAX_SLIDER
    assert (frames[0][1], frames[-1][1]) == ("0 kimg", "99 kimg")


def test_a_report_stays_under_8_mb() -> None:
    pictures_in_it = 3 * pictures.PICTURE_BYTES + pictures.SLIDER_BYTES + LIMIT_BYTES
    assert pictures_in_it * 4 / 3 < 7_900_000


@pytest.mark.slow
def test_large_noisy_pictures_are_made_to_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 240, 3), np.uint8)
    for index in range(40):
        save_png(noise, tmp_path / f"{index * 10:09d}-ema.png")
    paths = sorted(tmp_path.glob("*.png"))
    small = load_picture(paths[0], limit_bytes=30_000)
    assert small is not None
    assert len(small.uri) <= 40_100
    assert 100 < small.width < 240
    assert small.width / small.height == pytest.approx(1.2, abs=0.02)
    monkeypatch.setattr(pictures, "SLIDER_BYTES", 360_000)
    shown = pictures.slider_pictures(paths)
    assert [shown[0][0], shown[-1][0]] == [paths[0], paths[-1]]
    assert 12 <= len(shown) < 20
    assert sum(len(picture.uri) for _, picture in shown) <= 490_000


@pytest.mark.slow
def test_pictures_beyond_two_megapixels_are_shrunk(tmp_path: Path) -> None:
    save_png(np.zeros((1000, 4000, 1), np.uint8), tmp_path / "large.png")
    small = load_picture(tmp_path / "large.png")
    assert small is not None
    assert small.width * small.height <= 2_010_000
    assert decode(small.uri).size == (small.width, small.height)


@pytest.mark.slow
def test_curves_are_drawn_when_they_are_not_there_yet(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", previews=0)
    (run.path / "curves.png").unlink()
    page = report(run)
    assert decode(page.all("img")[0]["src"]).width > 600


def test_a_picture_that_cannot_be_read_is_left_out(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run")
    (run.samples / "real.png").write_bytes(b"no picture")
    assert load_picture(run.samples / "real.png") is None
    assert "Real images" not in report(run).text


def test_report_of_a_run_that_has_nothing_yet(prose, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    page = report(RunFolder(tmp_path / "run"))
    prose("report of a run without rows", re.sub(r"\n\s*\n+", "\n", page.text))
    assert page.all("img") == []
    assert page.scripts == []


@pytest.mark.parametrize(("previews", "rows"), [(3, 0), (0, 12), (1, 1)])
def test_report_of_a_run_that_lacks_something(previews: int, rows: int, tmp_path: Path) -> None:
    page = report(make_run(tmp_path / "run", previews=previews, rows=rows))
    assert len(page.all("img")) == (0 if previews == 0 else 3 + (previews > 1)) + (rows > 0)
    assert len(page.all("input")) == (previews > 1)


@pytest.mark.slow
def test_reports_import_no_plotting_or_video_package_before_it_is_needed() -> None:
    modules = [f"gansmith.reporting.{path.stem}" for path in Path(curves.__file__).parent.glob("[a-z]*.py")]
    script = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert set(modules) <= set(loaded)
    assert not set(loaded) & {"matplotlib", "imageio_ffmpeg", "tensorboard"}
