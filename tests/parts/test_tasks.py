"""Each task in closed form."""

from dataclasses import replace

import pytest
import torch
from pydantic import ValidationError

from gansmith.parts.tasks.base import luminance, tasks, viewable
from small_runs import NOISE as FEW

NOISE = replace(FEW, positions=range(64), batch_size=64)


def test_colorize_keeps_luminance_and_alpha():
    colours = torch.tensor([[1.0, -1, -1, 0.5], [-1, 1, -1, 0.5], [1, 1, 1, 0.5]])[:, :, None, None].expand(
        -1, -1, 4, 4
    )
    sources = tasks.parse("colorize")(colours, NOISE)
    assert sources[:, 0, 0, 0].tolist() == pytest.approx([2 * 0.299 - 1, 2 * 0.587 - 1, 1])
    assert (sources[:, 1] == 0.5).all()
    assert torch.equal(viewable(sources, 4)[:, 3], colours[:, 3])


def test_edges_are_only_where_luminance_changes():
    edges, images = tasks.parse("edges"), torch.full((1, 3, 8, 8), -1.0)
    images[..., 4:] = 1
    source = edges.prepare(images)
    assert source[0, 0, 3].tolist() == [1, 1, 1, -1, -1, 1, 1, 1]
    weak = edges.prepare(images * 0.19)  # a step of 0.19 of the way from black to white is half a line
    assert weak[0, 0, 3, 3] == pytest.approx(0, abs=1e-5)
    assert (edges.prepare(images * 0.05) == 1).all()
    assert torch.equal(edges.prepare(images.transpose(2, 3)), source.transpose(2, 3))
    with pytest.raises(ValidationError, match=r"low \(0\.5\) must be below high \(0\.3\)"):
        tasks.parse({"kind": "edges", "low": 0.5})


def test_the_baseline_of_colorize_has_the_mean_chroma_and_the_luminance_of_the_source():
    task, mean = tasks.parse("colorize"), torch.tensor([0.3, -0.1, -0.5])
    gray = torch.linspace(-0.4, 0.4, 16).view(1, 1, 4, 4)
    name, images = task.baseline(gray, 3, mean)
    assert name == "mean colour"
    torch.testing.assert_close(luminance(images), gray)
    torch.testing.assert_close(images[0, 0] - images[0, 2], torch.full((4, 4), 0.8))
    name, images = task.baseline(gray, 3)
    assert (name, images.shape) == ("gray", (1, 3, 4, 4))
    assert (images == gray).all()
    _, with_alpha = task.baseline(torch.cat([gray, gray * 0 + 0.5], 1), 4, torch.tensor([0.3, -0.1, -0.5, 1]))
    assert (with_alpha[:, 3] == 0.5).all()


def test_the_baseline_of_inpaint_fills_with_the_mean_of_known_pixels():
    task, images = tasks.parse("inpaint"), torch.zeros(2, 3, 4, 4)
    images[:, :, :, 3] = 1  # of four columns; the first is missing
    mask = torch.zeros(2, 1, 4, 4)
    mask[..., 0] = 1
    name, filled = task.baseline(task.prepare(images, mask), 3)
    assert name == "mean of the rest"
    torch.testing.assert_close(filled[..., 0], torch.full((2, 3, 4), 1 / 3))
    assert torch.equal(filled[..., 1:], images[..., 1:])


@pytest.mark.parametrize("kind", ["deblur", "denoise", "edges", "upscale2"])
def test_the_baseline_of_other_tasks_is_the_source(kind):
    task, images = tasks.parse(kind), torch.linspace(-1, 1, 3 * 64).view(1, 3, 8, 8)
    sources = task(images, replace(FEW, positions=range(1)))
    name, instead = task.baseline(sources, 3)
    assert name == ("bicubic" if kind == "upscale2" else "the source")
    assert torch.equal(instead, sources.expand(-1, 3, -1, -1))


def test_deblur_spreads_a_point_as_a_gaussian_and_keeps_constants():
    point = torch.zeros(1, 3, 33, 33)
    point[..., 16, 16] = 1
    blurred = tasks.parse({"kind": "deblur", "sigma_px": 2})(point, NOISE)[0, 0]
    assert blurred.sum() == pytest.approx(1)
    assert (blurred[16, 18] / blurred[16, 16]).item() == pytest.approx(torch.tensor(-0.5).exp().item())
    even = torch.full((1, 1, 8, 8), 0.25)
    torch.testing.assert_close(tasks.parse("deblur")(even, NOISE), even)


def test_denoise_has_a_separate_strength_for_each_image_up_to_most():
    noisy = tasks.parse({"kind": "denoise", "most": 0.2})(torch.zeros(64, 4, 16, 16), NOISE)
    spreads = noisy[:, :3].flatten(1).std(1)
    assert 0.15 < spreads.max() < 0.22
    assert spreads.min() < 0.05
    assert (noisy[:, 3] == 0).all()
    assert (tasks.parse({"kind": "denoise", "most": 2})(torch.ones(64, 1, 8, 8), NOISE) <= 1).all()


def test_inpaint_removes_a_random_quarter_and_keeps_the_rest():
    task, images = tasks.parse("inpaint"), torch.full((64, 3, 12, 8), 0.5)
    sources = task(images, NOISE)
    hole = sources[:, 3] > 0
    assert (hole.sum((1, 2)) == 6 * 4).all()
    assert (sources[:, 3].abs() == 1).all()
    assert (sources[:, :3].permute(0, 2, 3, 1)[hole] == 0).all()
    assert (sources[:, :3].permute(0, 2, 3, 1)[~hole] == 0.5).all()
    corners = {tuple(mask.nonzero()[0].tolist()) for mask in hole}
    assert {row for row, _ in corners} == set(range(7))
    assert {column for _, column in corners} == set(range(5))
    whole = task.complete(torch.full_like(images, -1), sources)
    assert (whole.permute(0, 2, 3, 1)[hole] == -1).all()
    assert (whole.permute(0, 2, 3, 1)[~hole] == 0.5).all()


@pytest.mark.parametrize("scale", [2, 4])
def test_upscale_keeps_means_of_squares_and_loses_finer_details(scale):
    task, fine = tasks.parse(f"upscale{scale}"), torch.ones(1, 1, 16, 16)
    fine[..., ::2, :] = -1
    assert task.scale == scale
    assert (task(fine, NOISE).abs() < 1e-6).all()
    small = torch.linspace(-0.8, 0.8, 8).expand(1, 1, 8, 8)
    large = task.prepare(small)
    assert large.shape == (1, 1, 8 * scale, 8 * scale)
    torch.testing.assert_close(task(large, NOISE), large, atol=0.06, rtol=0)


def test_luminance_of_gray_is_itself_and_gray_sources_become_colour_images():
    gray = torch.rand(2, 1, 4, 4)
    assert torch.equal(luminance(gray), gray)
    assert torch.equal(viewable(gray, 3), gray.expand(-1, 3, -1, -1))
    assert (viewable(gray, 4)[:, 3] == 1).all()
