"""Verbs over many image files: mirrored trees, formats, profiles, what is done already, and what fails."""

import os
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from gansmith.inference.image_files import (
    KEEP_FORMAT,
    ImageLike,
    WriteOptions,
    open_picture,
    pixels_of,
    profile_of,
    write_pictures,
)
from gansmith.inference.samples import Picture

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _same_images_in_any_order(monkeypatch):
    monkeypatch.setitem(globals(), "RNG", np.random.default_rng(0))


def pixels(channels: int = 3, side: int = 8) -> np.ndarray:
    smooth = Image.fromarray(RNG.integers(0, 256, (2, 2, 4), np.uint8)).resize((side, side))
    return np.asarray(smooth)[..., :channels].copy()


def write(path: Path, channels: int = 3, **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels(channels)).save(path, **options)
    return path


def negative(file: ImageLike) -> Picture:
    opened = open_picture(file)
    channels = 4 if opened.mode == "RGBA" else 3
    return Picture(255 - pixels_of(opened, channels), profile_of(opened))


def run(paths, out, *, make=negative, options=KEEP_FORMAT, **callbacks):
    return write_pictures(paths, out, make, "upscale", options, **callbacks)


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def photos(tmp_path) -> Path:
    for name in ("a/x.png", "b/x.png", "b/deep/y.JPG", "z.webp", "t.tiff", "m.bmp", "i.jfif", "j.jpe"):
        write(tmp_path / "photos" / name)
    for rubbish in ("@eaDir/x.png", ".ipynb_checkpoints/x.png", "b/__MACOSX/x.png"):
        write(tmp_path / "photos" / rubbish)
    (tmp_path / "photos" / "notes.txt").write_text("no image")
    return tmp_path / "photos"


def test_a_tree_is_mirrored_without_rubbish_and_each_image_keeps_its_format(photos, tmp_path, prose):
    left_out: list[str] = []
    written = run([photos], tmp_path / "U", on_left_out=left_out.append)
    names = ["a/x.png", "b/deep/y.JPG", "b/x.png", "i.jfif", "j.jpe", "m.bmp", "t.tiff", "z.webp"]
    assert tree(tmp_path / "U") == names
    assert [path.relative_to(tmp_path / "U").as_posix() for path in written.files] == names
    for name in names:
        with Image.open(photos / name) as source, Image.open(tmp_path / "U" / name) as made:
            assert (made.format, made.size) == (source.format, source.size)
            assert np.abs(np.asarray(made).astype(int) + np.asarray(source) - 255).mean() < 4
    prose("what is left out of a tree", "\n".join(left_out))


def test_several_folders_keep_their_names_and_equal_names_get_a_number(photos, tmp_path):
    write(tmp_path / "other" / "a" / "x.png")
    paths = [photos / "a", photos / "b", tmp_path / "other" / "a", photos / "z.webp", photos / "a" / "x.png"]
    run(paths, tmp_path / "U")
    assert tree(tmp_path / "U") == ["a-2/x.png", "a/x.png", "b/deep/y.JPG", "b/x.png", "x.png", "z.webp"]


def test_names_that_would_be_equal_in_another_format(tmp_path):
    for name in ("a.gif", "a.png", "b.png", "b.jpg", "c.pgm", "d.bmp", "d.tif"):
        write(tmp_path / "in" / name)
    run([tmp_path / "in"], tmp_path / "kept")
    assert tree(tmp_path / "kept") == ["a.gif.png", "a.png", "b.jpg", "b.png", "c.png", "d.bmp", "d.tif"]
    write(tmp_path / "other" / "a.png")
    run([tmp_path / "in/a.png", tmp_path / "other/a.png"], tmp_path / "named", options=WriteOptions("jpg"))
    assert tree(tmp_path / "named") == ["a-2.jpg", "a.jpg"]
    run([tmp_path / "in"], tmp_path / "jpg", options=WriteOptions("jpg"))
    assert tree(tmp_path / "jpg") == [
        "a.gif.jpg", "a.png.jpg", "b.jpg", "b.png.jpg", "c.jpg", "d.bmp.jpg", "d.tif.jpg"
    ]  # fmt: skip


def test_what_is_done_is_skipped_and_what_was_cut_short_is_not_there(photos, tmp_path, refused, capsys, prose):
    made: list[str] = []

    def stopping(file: Path) -> Picture:
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(file.name)
        return negative(file)

    with pytest.raises(KeyboardInterrupt):
        run([photos], tmp_path / "U", make=stopping)
    prose("after an interruption", capsys.readouterr().err)
    assert tree(tmp_path / "U") == ["a/x.png", "b/deep/y.JPG"]
    with refused("output.exists"):
        run([photos], tmp_path / "U")
    before = {path: path.read_bytes() for path in (tmp_path / "U").rglob("*.*")}
    made.clear()
    written = run(
        [photos],
        tmp_path / "U",
        make=lambda file: made.append(file.name) or negative(file),
        options=WriteOptions(resume=True),
    )
    assert made == ["x.png", "i.jfif", "j.jpe", "m.bmp", "t.tiff", "z.webp"]
    assert (len(written.files), written.already, written.failed) == (8, 2, [])
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_a_result_that_was_cut_short_is_made_again(photos, tmp_path, ending):
    options = WriteOptions(format=ending)
    first, second, *_ = files = run([photos], tmp_path / "U", options=options).files
    whole = [path.read_bytes() for path in files]
    first.write_bytes(first.read_bytes()[:60])
    second.write_bytes(b"")
    written = run([photos], tmp_path / "U", options=WriteOptions(format=ending, resume=True))
    assert written.already == len(files) - 2
    assert [path.read_bytes() for path in written.files] == whole


def test_a_name_without_an_ending_gets_one(tmp_path):
    for name in ("scan", "1.2.840.7"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / name, "PNG")
    written = run([tmp_path / "scan", tmp_path / "1.2.840.7"], tmp_path / "U")
    assert [path.name for path in written.files] == ["scan.png", "1.2.840.7.png"]


def test_results_below_the_sources_are_no_sources(photos, tmp_path, refused):
    out = photos / "large"
    run([photos], out)
    first = tree(out)
    assert run([photos], out, options=WriteOptions(resume=True)).already == len(first)
    assert tree(out) == first
    for paths, folder in (([photos], photos), ([photos / "a", photos / "b"], photos), ([photos / "z.webp"], photos)):
        with refused("output.over_source"):
            run(paths, folder, options=WriteOptions(resume=True))
    assert len(run([photos / "a"], photos, options=WriteOptions(resume=True)).files) == 1, "out is above its sources"


def test_one_image_goes_to_one_file(photos, tmp_path, refused):
    out = tmp_path / "new" / "x.jpg"
    written = run([photos / "a/x.png"], out)
    assert written.files == [out]
    with Image.open(out) as made:
        assert (made.format, made.mode) == ("JPEG", "RGB")
    with refused("output.exists"):
        run([photos / "a/x.png"], out)
    assert run([photos / "a/x.png"], out, options=WriteOptions(resume=True)).already == 1
    for paths in ([photos / "a"], [photos / "a/x.png", photos / "z.webp"]):
        with refused("output.one_file_for_many"):
            run(paths, tmp_path / "y.jpg")
    (tmp_path / "folder.png").mkdir()
    assert run([photos / "a"], tmp_path / "folder.png").files == [tmp_path / "folder.png" / "x.png"]


def test_colour_profiles_are_kept_where_they_fit(tmp_path):
    gray = bytes(PROFILE[:16] + b"GRAY" + PROFILE[20:])
    write(tmp_path / "in" / "gray.png", icc_profile=gray)
    for name in ("a.png", "a.jpg", "a.webp", "a.tif"):
        write(tmp_path / "in" / name, icc_profile=PROFILE)
    write(tmp_path / "in" / "none.png")
    run([tmp_path / "in"], tmp_path / "U")
    for name in tree(tmp_path / "U"):
        with Image.open(tmp_path / "U" / name) as made:
            assert made.info.get("icc_profile") == (PROFILE if name.startswith("a") else None)


def test_rotation_is_applied_once(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels(side=8)[:4]).save(tmp_path / "turned.jpg", exif=exif)
    run([tmp_path / "turned.jpg"], tmp_path / "U")
    with Image.open(tmp_path / "U" / "turned.jpg") as made:
        assert made.size == (4, 8)
        assert 0x0112 not in made.getexif()


def test_alpha_in_formats_with_and_without_it(tmp_path):
    write(tmp_path / "a.png", 4)
    for form, mode in (("png", "RGBA"), ("webp", "RGBA"), ("tif", "RGBA"), ("jpg", "RGB"), ("bmp", "RGB")):
        run([tmp_path / "a.png"], tmp_path / f"a_made.{form}")
        with Image.open(tmp_path / f"a_made.{form}") as made:
            assert made.mode == mode


def test_quality_changes_the_size_of_files(tmp_path, refused):
    write(tmp_path / "a.jpg")
    sizes = []
    for quality in (100, None, 50):
        (file,) = run([tmp_path / "a.jpg"], tmp_path / f"q{quality}", options=WriteOptions(quality=quality)).files
        sizes.append(file.stat().st_size)
    assert sizes == sorted(set(sizes), reverse=True)
    for options, out, code in (
        (WriteOptions(quality=0), "U", "output.quality_out_of_range"),
        (WriteOptions("png", 90), "U", "output.quality_not_used"),
        (WriteOptions(quality=90), "x.bmp", "output.quality_not_used"),
        (WriteOptions("gif"), "U", "output.unknown_format"),
        (WriteOptions("png"), "x.jpg", "output.two_formats"),
    ):
        with refused(code):
            run([tmp_path / "a.jpg"], tmp_path / out, options=options)
    run([tmp_path / "a.jpg"], tmp_path / "x.jpeg", options=WriteOptions("jpg"))


def test_a_failure_stops_nothing_and_is_named_at_the_end(photos, tmp_path, refused, prose):
    for name in ("a/bad.png", "b/worse.png"):
        (photos / name).write_bytes(b"no image")
    left_out: list[str] = []
    written = run([photos], tmp_path / "U", on_left_out=left_out.append)
    assert len(written.files) == 8
    assert [Path(name).name for name, _ in written.failed] == ["bad.png", "worse.png"]
    prose("failures", "\n".join([*left_out[1:], *written.lines("upscaled")]))
    with refused("data.some_unreadable"):
        run([photos / "a/bad.png", photos / "z.webp"], tmp_path / "V")
    assert tree(tmp_path / "V") == ["z.webp"]
    with refused("data.unreadable_image"):
        run([photos / "a/bad.png"], tmp_path / "W")


def test_a_result_that_its_format_cannot_hold_is_a_failure(tmp_path, refused):
    write(tmp_path / "a.webp")
    with refused("output.result_not_written"):
        run([tmp_path / "a.webp"], tmp_path / "U", make=lambda _: Picture(np.zeros((1, 16_384, 3), np.uint8)))


def test_names_that_a_folder_cannot_hold_fail_alone(tmp_path):
    """A name is at most 255 bytes long; the name of a half-written file and another ending are longer."""
    names = ["n" * 251 + ".png", "é" * 125 + ".png", "m" * 251 + ".gif", "z.png"]
    for name in names:
        write(tmp_path / "in" / name)
    written = run([tmp_path / "in"], tmp_path / "U")
    assert tree(tmp_path / "U") == sorted(set(names) - {names[2]} | {"m" * 251 + ".png"})
    assert not written.failed
    written = run([tmp_path / "in"], tmp_path / "V", options=WriteOptions("webp"))
    assert tree(tmp_path / "V") == ["z.webp", "é" * 125 + ".webp"]
    assert len(written.failed) == 2
    assert "File name too long" in written.failed[0][1]


def test_a_result_never_takes_the_name_of_a_folder(tmp_path):
    for name in ("x.gif", "x.png/inside.png"):
        write(tmp_path / "in" / name)
    run([tmp_path / "in"], tmp_path / "U")
    assert tree(tmp_path / "U") == ["x-2.png", "x.png/inside.png"]


def test_one_result_is_in_memory_at_a_time(tmp_path):
    for number in range(12):
        write(tmp_path / "in" / f"{number:02d}.png")
    held, most, steps = list[weakref.ref[np.ndarray]](), list[int](), list[float]()

    def make(file: Path) -> Picture:
        made = negative(file)
        held.append(weakref.ref(made.array))
        most.append(sum(each() is not None for each in held))
        return made

    run([tmp_path / "in"], tmp_path / "U", make=make, on_progress=lambda progress: steps.append(progress.done))
    assert max(most) == 1
    assert steps == list(range(1, 13))


@pytest.mark.skipif(os.name == "nt", reason="names on Windows are Unicode")
def test_a_name_that_is_no_utf8_is_kept_on_disk_and_escaped_in_messages(tmp_path):
    folder = os.fsencode(tmp_path / "in")
    os.mkdir(folder)
    for name, data in ((b"caf\xe9.png", None), (b"b\xe9d.png", b"no image")):
        path = Path(os.fsdecode(os.path.join(folder, name)))
        path.write_bytes(data) if data else write(path)
    written = run([tmp_path / "in"], tmp_path / "U")
    assert os.listdir(os.fsencode(tmp_path / "U")) == [b"caf\xe9.png"]
    assert written.to_json()["files"] == [str(tmp_path / "U" / "caf\\xe9.png")]
    assert [failed["file"] for failed in written.to_json()["failed"]] == [str(tmp_path / "in" / "b\\xe9d.png")]


def test_array_files_keep_their_form_and_all_their_images(tmp_path, refused):
    (tmp_path / "in" / "a").mkdir(parents=True)
    stack = np.stack([pixels(), pixels(), pixels()])
    np.save(tmp_path / "in" / "a" / "one.npy", stack[0, ..., 0])
    np.save(tmp_path / "in" / "stack.npy", stack)
    run([tmp_path / "in"], tmp_path / "out")
    assert tree(tmp_path / "out") == ["a/one.npy", "stack.npy"]
    assert (np.load(tmp_path / "out" / "stack.npy") == 255 - stack).all()
    pytest.importorskip("tifffile", reason="the extra science is not installed")
    run([tmp_path / "in"], tmp_path / "tif", options=WriteOptions("tif"))
    with Image.open(tmp_path / "tif" / "stack.tif") as opened:
        assert opened.n_frames == 3
    with refused("output.unknown_ending"):
        run([tmp_path / "in"], tmp_path / "png", options=WriteOptions("png"))


@pytest.mark.parametrize("name", ["x.gif", "x.dcm", "x.zip", "x.nii.gz"])
def test_a_result_is_no_folder_with_the_name_of_a_file(photos, tmp_path, name, refused):
    with refused("output.unknown_format"):
        run([photos / "a" / "x.png"], tmp_path / name)
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("ending", ["gif", "webp", "png", "tif"])
def test_unused_frames_of_every_format_are_said(tmp_path, ending):
    frames = [Image.fromarray(pixels()[..., 0] // number) for number in (1, 2, 3)]
    frames[0].save(tmp_path / f"x.{ending}", save_all=True, append_images=frames[1:])
    said = []
    run([tmp_path / f"x.{ending}"], tmp_path / "out", on_left_out=said.append)
    assert said[0].startswith("2 of 3 frames")


def test_frames_that_are_not_used_are_said(tmp_path, prose):
    frames = [Image.fromarray(pixels()[..., 0] // number) for number in (1, 2, 3)]
    frames[0].save(tmp_path / "x.gif", save_all=True, append_images=frames[1:])
    said = []
    run([tmp_path / "x.gif"], tmp_path / "out", on_left_out=said.append)
    assert tree(tmp_path / "out") == ["x.png"]
    prose("frames that a verb leaves out", "\n".join(said).replace(str(tmp_path), ""))
