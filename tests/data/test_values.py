"""Values in units of their own: which type and range a set is stored in, and that they come back."""

import gzip
import io

import numpy as np
import pytest
from PIL import Image

from gansmith.data.base import DataOptions, DataSpec
from gansmith.data.check import check_data
from gansmith.data.find import find_source
from gansmith.data.image_info import as_values
from gansmith.data.open import open_data
from gansmith.data.peek import peek
from gansmith.data.sources.array_files import images_in
from gansmith.imaging.deep_files import encode_png16, write_tiff

pytestmark = pytest.mark.usefixtures("cache_folder")
DRAW = np.random.default_rng(0)
SHADES = DRAW.random((12, 16, 16, 1))
STATE = DRAW.bit_generator.state


@pytest.fixture(autouse=True)
def same_draw() -> None:
    """Let each test draw the same, whatever ran before it."""
    DRAW.bit_generator.state = STATE


def tiff(values: np.ndarray, bands: tuple[str, ...] = ()) -> bytes:
    pytest.importorskip("tifffile", reason="the extra science is not installed")
    buffer = io.BytesIO()
    write_tiff(buffer, [values], bands)
    return buffer.getvalue()


def npy(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def png(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    return buffer.getvalue()


def folder_of(tmp_path, ending, contents):
    folder = tmp_path / "set"
    folder.mkdir()
    for number, content in enumerate(contents):
        (folder / f"{number:02d}{ending}").write_bytes(content)
    return folder


def areas(count: int) -> np.ndarray:
    """Return 12 label maps of 20 px with areas of one value below ``count``, all of them used."""
    labels = DRAW.permutation(np.arange(12 * 5 * 5) % count).reshape(12, 5, 5)
    return labels.repeat(4, 1).repeat(4, 2).astype(np.uint8)


def check_round_trip(folder, values, **options):
    """Assert that values come back in their type, within half a step, also when a run resumes; return the data set."""
    data = open_data(folder, DataOptions(**options))
    meaning = data.spec.values
    back = meaning.in_units(data.read(range(len(data))))
    step = max(high - low for low, high in zip(meaning.low, meaning.high, strict=True)) / 65535
    assert back.dtype == values.dtype
    assert np.abs(back.astype(float) - values).max() <= (0 if meaning.is_whole and step <= 1 else step)
    assert open_data(folder, DataOptions(**options).like(data.spec)).spec == data.spec
    assert DataSpec.from_json(data.spec.to_json()) == data.spec
    return data


def test_12_bits_in_16_are_stored_with_the_range_that_is_there(tmp_path, prose):
    values = (SHADES * 4095).round().astype(np.uint16)
    data = check_round_trip(folder_of(tmp_path, ".png", map(encode_png16, values)), values)
    assert data.pixels.dtype == np.uint16
    assert (data.spec.values.low, data.spec.values.high) == ((values.min(),), (values.max(),))
    prose("summary of a 12-bit set", "\n".join(data.summary.lines()))


@pytest.mark.slow
def test_signed_ct_and_floats_keep_their_units(tmp_path):
    ct = (SHADES * 4000 - 1000).round().astype(np.int16)
    assert check_round_trip(folder_of(tmp_path, ".tif", map(tiff, ct)), ct).pixels.dtype == np.uint16
    metres = (SHADES * 900 - 12.5).astype(np.float32)
    (tmp_path / "floats").mkdir()
    data = check_round_trip(folder_of(tmp_path / "floats", ".tif", map(tiff, metres)), metres)
    assert data.pixels.dtype == np.float32
    assert data.pixels.min() == -1
    assert data.pixels.max() == 1


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_png_of_16_bits_keeps_both_bytes_of_every_channel(tmp_path, channels):
    values = DRAW.integers(0, 65536, (4, 16, 16, channels)).astype(np.uint16)
    data = check_round_trip(folder_of(tmp_path, ".png", map(encode_png16, values)), values)
    assert data.spec.channels == channels
    assert data.spec.values.bands == ()


def test_an_array_file_of_decibels(tmp_path):
    values = (SHADES * 80 - 80).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    assert check_round_trip(tmp_path / "a.npy", values).spec.kind_words == "gray, floats"


@pytest.mark.slow
def test_whole_numbers_of_64_bits_and_bool(tmp_path):
    for name, values, kept in (
        ("levels", (SHADES * 255).astype(np.int64), ((0.0,), (255.0,))),
        ("counts", (SHADES * 10**6).astype(np.int64), None),
        ("masks", SHADES > 0.5, ((0.0,), (1.0,))),
    ):
        np.save(tmp_path / f"{name}.npy", values)
        data = open_data(tmp_path / f"{name}.npy")
        back = data.spec.values.in_units(data.read(range(12)))
        assert back.dtype == values.dtype
        assert np.abs(back.astype(float) - values.astype(float)).max() <= 0.1
        assert kept in (None, (data.spec.values.low, data.spec.values.high))
        assert data.pixels.dtype == (np.float32 if name == "counts" else np.uint8)


@pytest.mark.parametrize("most", [1, 12])
def test_masks_and_label_maps_are_seen_and_not_mixed(tmp_path, most, prose):
    maps = areas(most + 1)
    data = open_data(folder_of(tmp_path, ".png", map(png, maps)), DataOptions(size=16))
    values = data.spec.values
    assert (values.depth, values.low, values.high) == ("8", (0.0,), (float(most),))
    assert set(np.unique(values.in_units(data.read(range(12))))) <= set(range(most + 1))
    assert values.picture(data.read(range(12))).max() == 255
    prose("summary of label maps", "\n".join(data.summary.lines()))


def test_label_maps_without_0_are_seen(tmp_path):
    maps = areas(9) + 3
    data = open_data(folder_of(tmp_path, ".png", map(png, maps)), DataOptions(size=16))
    assert (data.spec.values.low, data.spec.values.high) == ((0.0,), (11.0,))


def test_pictures_stay_ordinary(tmp_path):
    dark = (SHADES[..., 0] * 60 + 3).astype(np.uint8)  # without a background of 0
    full = (SHADES[..., 0] * 255).astype(np.uint8)
    for name, pixels in (("dark", dark), ("full", full)):
        (tmp_path / name).mkdir()
        data = open_data(folder_of(tmp_path / name, ".png", map(png, pixels)))
        assert data.spec.values is None
        assert (data.read(range(12))[..., 0] == pixels).all()
        assert any("up to 62 of 255" in note for note in data.summary.notes) == (name == "dark")


@pytest.mark.slow
def test_a_side_of_pairs_has_its_own_range(tmp_path):
    (tmp_path / "maps").mkdir()
    (tmp_path / "photos").mkdir()
    photos = (SHADES[..., 0] * 255).astype(np.uint8)
    maps = photos // 20
    for number in range(12):
        (tmp_path / "maps" / f"{number}.png").write_bytes(png(maps[number]))
        (tmp_path / "photos" / f"{number}.png").write_bytes(png(photos[number]))
    data = open_data(f"pairs:{tmp_path / 'maps'}::{tmp_path / 'photos'}", DataOptions(pairs=True, size=16))
    assert data.spec.source_values.high == (float(maps.max()),)
    assert data.spec.values.high == (255.0,)
    shown = data.spec.picture(data.read(range(12)))
    assert shown[:, :, :16].max() > 200
    assert {tuple(image[:, 16:, 0].ravel()) for image in shown} == {tuple(image.ravel()) for image in photos}


@pytest.mark.slow
def test_bands_are_named_counted_and_shown(tmp_path, prose, refused):
    values = (DRAW.random((6, 16, 16, 8)) * 9000).astype(np.uint16)
    names = ("blue", "green", "red", "edge", "nir", "swir1", "swir2", "mask")
    folder = folder_of(tmp_path, ".tif", (tiff(each, names) for each in values))
    data = check_round_trip(folder, values, preview="3,2,1")
    assert data.spec.values.bands == names
    assert data.spec.values.preview == (3, 2, 1)
    picture = data.spec.picture(data.read([0]))[0].astype(int)
    assert picture.shape == (16, 16, 3)
    assert np.abs(picture - values[0][..., [2, 1, 0]] * (255 / values.max())).max() <= 1.5
    assert peek(find_source(folder), DataOptions()) == (16, 16, 8, 6)
    prose("summary of eight bands", "\n".join(data.summary.lines()))
    report = check_data(folder)
    assert report.inferred["channels"] == 8
    assert report.modes == {"uint16 x 8": 6}
    assert open_data(folder, DataOptions(channels=2)).spec.values.bands == names[:2]
    for code, options in (
        ("data.preview_bands", {"preview": "9,2,1"}),
        ("data.band_names", {"bands": "a,b"}),
        ("data.too_few_bands", {"channels": 9}),
        ("data.range_count", {"range": "0:1,0:2"}),
    ):
        with refused(code):
            open_data(folder, DataOptions(**options))


@pytest.mark.slow
def test_a_fourth_band_that_is_no_alpha_does_not_blend(tmp_path):
    values = DRAW.integers(0, 256, (6, 16, 16, 4)).astype(np.uint8)
    tifffile = pytest.importorskip("tifffile", reason="the extra science is not installed")
    contents = []
    for each in values:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, each, photometric="rgb", extrasamples=["unspecified"])
        contents.append(buffer.getvalue())
    folder = folder_of(tmp_path, ".tif", contents)
    assert open_data(folder).spec.values.bands == ("band 1", "band 2", "band 3", "band 4")
    data = open_data(folder, DataOptions(channels=3))
    assert data.spec.values is None
    assert (data.read(range(6)) == values[..., :3]).all()


@pytest.mark.slow
def test_a_range_and_a_depth_that_are_asked_for(tmp_path, refused):
    values = (SHADES * 3000).astype(np.uint16)
    folder = folder_of(tmp_path, ".png", map(encode_png16, values))
    data = open_data(folder, DataOptions(depth=8, range="0:1000"))
    assert data.pixels.dtype == np.uint8
    assert data.spec.values.in_units(data.read(range(12))).max() == 1000
    assert any("outside" in note for note in data.summary.notes)
    assert open_data(folder, DataOptions(depth="float")).pixels.dtype == np.float32
    for wrong in ("5", "5:5", "a:b", "1:inf"):
        with pytest.raises(ValueError, match="range must be LOW:HIGH"):
            DataOptions(range=wrong)
    with pytest.raises(ValueError, match="one band or three"):
        DataOptions(preview="1,2")
    with refused("data.channels_of_pictures"):
        (tmp_path / "pictures").mkdir()
        open_data(
            folder_of(tmp_path / "pictures", ".png", map(png, (SHADES[..., 0] * 255).astype(np.uint8))),
            DataOptions(channels=2),
        )


def test_each_channel_can_have_a_range(tmp_path):
    values = (DRAW.random((6, 16, 16, 3)) * [1, 10, 100]).astype(np.float32)
    data = check_round_trip(folder_of(tmp_path, ".npy", map(npy, values)), values, range="channels")
    assert np.allclose(data.spec.values.high, values.max((0, 1, 2)))


def test_single_broken_pixels_do_not_squeeze_the_others(tmp_path):
    values = (SHADES * 100).astype(np.float32)
    values[3, 5, 5] = 1e9
    data = open_data(folder_of(tmp_path, ".npy", map(npy, values)))
    assert 100 < data.spec.values.high[0] < 130


@pytest.mark.slow
def test_mixed_bit_depths_have_one_rule(tmp_path, prose, refused):
    deep, plain = (SHADES[:6] * 4095).astype(np.uint16), (SHADES[6:, ..., 0] * 255).astype(np.uint8)
    folder = folder_of(tmp_path, ".png", [*map(encode_png16, deep), *map(png, plain)])
    data = open_data(folder)
    back = data.spec.values.in_units(data.read(range(12)))
    assert (back[:6] == deep).all()
    assert np.abs(back[6:, ..., 0] - plain * (4095 / 255)).max() <= 1
    prose("summary of mixed depths", "\n".join(data.summary.lines()))
    (tmp_path / "floats").mkdir()
    floats = folder_of(tmp_path / "floats", ".npy", [*map(npy, deep), *map(npy, SHADES[6:] * 50)])
    with refused("data.mixed_depths"):
        open_data(floats)
    assert open_data(floats, DataOptions(range="0:4095")).spec.values.kind == "float32"


@pytest.mark.parametrize("few", ["colour", "gray", "gray and alpha", "colour and alpha"])
def test_a_few_16_bit_pictures_among_others_are_read_as_pictures(tmp_path, prose, few):
    """Icons and photos of many hands: most have 8 bits."""
    bands = {"colour": 3, "gray": 1, "gray and alpha": 2, "colour and alpha": 4}[few]
    plain = (SHADES[4:, ..., 0] * 255).astype(np.uint8)
    deep = (SHADES[:4, ..., :1].repeat(bands, axis=3) * 65535).astype(np.uint16)
    folder = folder_of(tmp_path, ".png", [*map(encode_png16, deep), *map(png, plain)])
    data = open_data(folder)
    assert data.spec.values is None
    if bands % 2:
        assert np.abs(data.read([0])[0, ..., 0].astype(int) - SHADES[0, ..., 0] * 255).max() <= 1
        assert open_data(folder, DataOptions(depth="16")).spec.values.depth == "16"
    prose(f"summary of a few 16-bit {few} pictures", "\n".join(data.summary.lines()))


def test_16_bit_gray_with_alpha(tmp_path):
    """Viewers show it; Pillow has no unpacker of its lower bytes."""
    both = DRAW.integers(0, 65536, (6, 16, 16, 2)).astype(np.uint16)
    data = open_data(folder_of(tmp_path, ".png", map(encode_png16, both)))
    back = data.spec.values.in_units(data.read(range(6)))
    assert data.spec.channels == 4
    assert (back == both[..., [0, 0, 0, 1]]).all()


def test_powers_without_a_logarithm_are_said(tmp_path, prose):
    np.save(tmp_path / "power.npy", (10 ** (SHADES * 8 - 10)).astype(np.float32))
    (note,) = (note for note in open_data(tmp_path / "power.npy").summary.notes if "lowest 1/255" in note)
    prose("powers without a logarithm", note)
    sparse = np.where(SHADES < 0.9, 0, SHADES * 1000).astype(np.float32)  # most values are the ground
    np.save(tmp_path / "sparse.npy", sparse)
    assert not any("lowest 1/255" in note for note in open_data(tmp_path / "sparse.npy").summary.notes)


@pytest.mark.parametrize("factor", [1e-30, 1e-4, -1e-30])
def test_tiny_floats_keep_their_values(tmp_path, factor):
    values = (SHADES * factor).astype(np.float64)
    data = check_round_trip(folder_of(tmp_path, ".npy", map(npy, values)), values)
    assert data.spec.values.depth == "float"


def test_nan_and_infinity_are_left_out_by_name(tmp_path):
    values = (DRAW.random((30, 16, 16)) * 80 - 80).astype(np.float32)
    values[7, 3, 3] = np.nan
    data = open_data(folder_of(tmp_path, ".npy", map(npy, values)))
    assert len(data) == 29
    (left,) = data.summary.quarantine
    assert left["file"] == "07.npy"
    assert "1 of 256 values that are NaN or infinite" in left["reason"]


def test_gaps_may_be_filled_with_a_mark_for_no_data(tmp_path):
    values = (DRAW.random((30, 16, 16)) * 80 - 80).astype(np.float32)
    values[::2, :2] = np.nan
    data = open_data(folder_of(tmp_path, ".npy", map(npy, np.nan_to_num(values, nan=-9999))))
    assert len(data) == 30
    assert -81 < data.spec.values.low[0] < -79
    assert (data.read([0])[0, :2] == -1).all()


def dicom(
    pixels: np.ndarray,
    *,
    mark: bool = True,
    colours: str = "MONOCHROME2",
    rescaled: bool = True,
    slope: float = 1,
    intercept: float = -1024,
) -> bytes:
    pydicom = pytest.importorskip("pydicom", reason="the extra science is not installed")
    from pydicom.dataset import FileDataset, FileMetaDataset

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID = (
        pydicom.uid.CTImageStorage,
        pydicom.uid.ExplicitVRLittleEndian,
    )
    meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
    file = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
    file.Rows, file.Columns, file.SamplesPerPixel, file.PhotometricInterpretation = 16, 16, 1, colours
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 12, 11, 0
    file.PixelData = pixels.tobytes()
    if rescaled:
        file.RescaleSlope, file.RescaleIntercept = slope, intercept
    if pixels.ndim == 3:
        file.NumberOfFrames = len(pixels)
    buffer = io.BytesIO()
    if mark:
        pydicom.dcmwrite(buffer, file, enforce_file_format=True)
    else:  # as old programs write them: no mark, no group 2
        file.preamble, file.file_meta = None, FileMetaDataset()
        pydicom.dcmwrite(buffer, file, implicit_vr=True, little_endian=True)
    return buffer.getvalue()


@pytest.mark.slow
@pytest.mark.parametrize("ending", [".dcm", "", ".1.2.840.10008.77"])
def test_slices_of_dicom_in_hounsfield_units(tmp_path, ending):
    stored = (SHADES[..., 0] * 3000).astype(np.uint16)
    data = open_data(folder_of(tmp_path, ending, map(dicom, stored)))
    back = data.spec.values.in_units(data.read(range(12)))[..., 0]
    assert (back == stored.astype(int) - 1024).all()


def test_a_slice_of_zeros_has_the_type_of_the_others(tmp_path):
    """As of a PET, which has a factor for each slice."""
    stored = (SHADES[..., 0] * 3000).astype(np.uint16)
    stored[0] = 0
    slopes = [0.53 + row / 16 for row in range(len(stored))]
    files = (dicom(each, slope=slope, intercept=0) for each, slope in zip(stored, slopes, strict=True))
    data = open_data(folder_of(tmp_path, ".dcm", files))
    back = data.spec.values.in_units(data.read(range(len(stored))))[..., 0]
    assert back == pytest.approx(stored * np.array(slopes)[:, None, None], abs=0.01)


def test_dicom_without_its_mark_and_with_white_as_zero():
    stored = (SHADES[0, ..., 0] * 3000).astype(np.uint16)
    assert (images_in(dicom(stored, mark=False), "x.dcm")[0, ..., 0] == stored.astype(int) - 1024).all()
    inverted = images_in(dicom(stored, colours="MONOCHROME1", rescaled=False), "x.dcm")
    assert (inverted[0, ..., 0] == 4095 - stored).all()


@pytest.mark.slow
def test_a_single_file_of_many_images_is_a_data_set(tmp_path, prose):
    nibabel = pytest.importorskip("nibabel", reason="the extra science is not installed")
    volume = (SHADES[..., 0] * 3000).astype(np.uint16)
    (tmp_path / "scan.dcm").write_bytes(dicom(volume))
    (tmp_path / "scan.nii.gz").write_bytes(gzip.compress(nibabel.Nifti1Image(volume.T, np.eye(4)).to_bytes()))
    Image.fromarray(volume[0]).save(
        tmp_path / "scan.tif", save_all=True, append_images=map(Image.fromarray, volume[1:])
    )
    for name, low in (("scan.dcm", volume.min() - 1024.0), ("scan.nii.gz", volume.min()), ("scan.tif", volume.min())):
        data = open_data(tmp_path / name)
        assert (len(data), data.spec.name, data.spec.values.low) == (12, "scan", (low,))
    prose("summary of a single stack", "\n".join(open_data(tmp_path / "scan.tif").summary.notes))


def pnm(kind: bytes, values: np.ndarray, top: str) -> bytes:
    height, width = values.shape[:2]
    header = kind + f"\n# made by a test\n{width} {height}\n{top}\n".encode()
    if kind in (b"P2", b"P3"):
        return header + " ".join(map(str, values.ravel())).encode()
    return header + (values[::-1].astype("<f4") if kind in (b"PF", b"Pf") else values.astype(">u2")).tobytes()


@pytest.mark.parametrize(("kind", "channels"), [(b"P2", 1), (b"P5", 1), (b"P3", 3), (b"P6", 3), (b"Pf", 1), (b"PF", 3)])
def test_portable_maps_of_more_than_8_bits(tmp_path, kind, channels):
    is_float = kind in (b"PF", b"Pf")
    values = DRAW.random((6, 16, 18, channels)) * 900
    values = values.astype(np.float32) if is_float else values.astype(np.uint16)
    contents = [pnm(kind, each, "-1.0" if is_float else "4095") for each in values]
    folder = folder_of(tmp_path, ".pfm" if is_float else ".ppm", contents)
    check_round_trip(folder, values, size="16x18")
    (folder / "cut.ppm").write_bytes(contents[0][:-400])
    assert [entry["file"] for entry in check_data(folder).corrupt] == ["cut.ppm"]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_white_as_zero_in_tiff(dtype):
    tifffile = pytest.importorskip("tifffile", reason="the extra science is not installed")
    values, buffer = (SHADES[0, ..., 0] * 200).astype(dtype), io.BytesIO()
    tifffile.imwrite(buffer, values, photometric="miniswhite")
    assert (as_values(buffer.getvalue())[..., 0] == np.iinfo(dtype).max - values).all()


@pytest.mark.parametrize("packed", [False, True])
def test_slices_of_nifti(tmp_path, packed):
    nibabel = pytest.importorskip("nibabel", reason="the extra science is not installed")
    volume = (DRAW.random((16, 20, 5)) * 500 - 100).astype(np.float32)
    content = nibabel.Nifti1Image(volume, np.eye(4)).to_bytes()
    ending = ".nii.gz" if packed else ".nii"
    folder = folder_of(tmp_path, ending, [gzip.compress(content) if packed else content])
    data = open_data(folder, DataOptions(size="20x16"))
    assert len(data) == 5
    back = data.spec.values.in_units(data.read(range(5)))[..., 0]
    assert np.abs(back - volume.transpose(2, 1, 0)[:, ::-1]).max() < 0.01


def test_a_damaged_science_file_is_named(tmp_path):
    for ending, library in ((".dcm", "pydicom"), (".nii", "nibabel"), (".tif", "tifffile")):
        pytest.importorskip(library, reason="the extra science is not installed")
        (tmp_path / ending).mkdir()
        report = check_data(folder_of(tmp_path / ending, ending, [b"II*\0" + b"nothing of the kind" * 30]))
        assert report.usable == 0
        assert report.corrupt[0]["file"] == f"00{ending}"


@pytest.mark.slow
def test_16_bit_colour_tiff_with_and_without_a_colour_tag(tmp_path):
    tifffile = pytest.importorskip("tifffile", reason="the extra science is not installed")
    values = (DRAW.random((6, 16, 16, 3)) * 4080).astype(np.uint16)
    for tag in ("rgb", "minisblack"):
        (tmp_path / tag).mkdir()
        contents = []
        for each in values:
            buffer = io.BytesIO()
            tifffile.imwrite(buffer, each, photometric=tag, planarconfig="contig")
            contents.append(buffer.getvalue())
        data = check_round_trip(folder_of(tmp_path / tag, ".tif", contents), values)
        assert data.spec.kind_words == "colour, 16 bit"


def test_hounsfield_units_in_32_bits(tmp_path):
    values = (SHADES * 3060 - 1024).astype(np.int32)
    contents = []
    for each in values:
        buffer = io.BytesIO()
        Image.fromarray(each[..., 0]).save(buffer, "TIFF")
        contents.append(buffer.getvalue())
    assert check_round_trip(folder_of(tmp_path, ".tif", contents), values).pixels.dtype == np.uint16


@pytest.mark.parametrize(("mark", "top"), [(-9999, None), (-3.4e38, None), (-32768, 32767)])
def test_marks_for_no_data_do_not_set_the_range(tmp_path, mark, top):
    values = (SHADES * 500).astype(np.float32)
    values[:, :2] = mark
    values[:, 3, 3] = values[:, 3, 3] if top is None else top
    data = open_data(folder_of(tmp_path, ".npy", map(npy, values)))
    meaning = data.spec.values
    assert -200 < meaning.low[0] < meaning.high[0] < 700
    assert any("taken as marks for no data" in note for note in data.summary.notes)
    back = meaning.in_units(data.read(range(len(data))))
    assert (back[:, 0] == meaning.low[0]).all()
    assert np.abs(back - values)[:, 4:].max() < 0.1


def test_values_with_a_gap_that_is_no_mark_keep_their_range(tmp_path):
    values = (SHADES * 3000 - 1000).astype(np.int16)
    values[:, :2] = -2000  # beside a round field of view
    assert open_data(folder_of(tmp_path, ".npy", map(npy, values))).spec.values.low == (-2000.0,)


@pytest.mark.parametrize("count", [2, 21, 34])
def test_a_mark_for_ignored_pixels_of_label_maps_is_one_label_more(tmp_path, count):
    maps = areas(count)
    maps[:, :2] = 255
    data = open_data(folder_of(tmp_path, ".png", map(png, maps)))
    assert (data.spec.values.low, data.spec.values.high) == ((0.0,), (float(count),))
    back = data.spec.values.in_units(data.read(range(12)))[..., 0]
    assert (back == np.where(maps == 255, count, maps)).all()
    assert any(f"255, far from the other labels (0 to {count - 1})" in note for note in data.summary.notes)


@pytest.mark.parametrize("top", [12, 20, 60])
@pytest.mark.parametrize("channels", [1, 3])
def test_dark_pictures_are_spread_and_are_no_label_maps(tmp_path, top, channels):
    y, x = np.mgrid[0:64, 0:64] / 64
    waves = [np.sin(4 * x + number + channel) * np.cos(3 * y) for number in range(6) for channel in range(channels)]
    shades = np.array(waves).reshape(6, channels, 64, 64).transpose(0, 2, 3, 1)
    pixels = ((shades + 1) / 2 * (top + 0.9)).astype(np.uint8)
    pixels[:, 0, 0] = 0
    folder = folder_of(tmp_path, ".png", [png(each.squeeze()) for each in pixels])
    data = open_data(folder)
    assert (data.spec.values.low, data.spec.values.high) == ((0.0,), (float(pixels.max()),))
    assert f"dark pictures: values up to {pixels.max()} of 255 are spread; range=0:255 keeps them dark" in (
        data.summary.notes
    )
    assert not any("label maps" in note for note in data.summary.notes)
    assert (open_data(folder, DataOptions(range="0:255")).read(range(6)) == pixels).all()


def test_dark_icons_on_a_transparent_ground_are_not_dark_pictures(tmp_path):
    icons = np.zeros((12, 16, 16, 4), np.uint8)
    icons[:, 4:12, 4:12] = 51, 51, 60, 255
    icons[np.arange(12), 6, np.arange(12)] = 40, 51, 60, 255
    data = open_data(folder_of(tmp_path, ".png", map(png, icons)))
    assert data.spec.values is None
    assert data.spec.channels == 4


@pytest.mark.slow
def test_images_of_other_bands_are_named_before_the_start(tmp_path, refused):
    contents = [npy(SHADES[at].repeat(3 if at % 2 else 5, 2).astype(np.float32)) for at in range(12)]
    folder = folder_of(tmp_path, ".npy", contents)
    with refused("data.mixed_bands"):
        open_data(folder)
    assert "mixed bands" in check_data(folder).refused
    assert open_data(folder, DataOptions(channels=3)).spec.count == 12


def test_a_set_of_one_value_is_said(tmp_path):
    data = open_data(folder_of(tmp_path, ".npy", [npy(np.full((16, 16), 7.0, np.float32))] * 4))
    assert "all values are 7: there is nothing to learn" in data.summary.notes


def test_the_order_of_bytes_is_no_type(tmp_path):
    values = SHADES.astype(">f4")
    assert open_data(folder_of(tmp_path, ".npy", map(npy, values))).spec.values.kind == "float32"
