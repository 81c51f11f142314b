"""Layouts of image sets: which files are images, which part trains, where labels come from."""

import calendar
import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise, permutations
from pathlib import Path, PurePosixPath
from typing import IO, Any

from gansmith.core.errors import DataError, counted
from gansmith.core.file_names import escaped, path_of, printable
from gansmith.core.plain_files import open_plain, parse_json, read_bytes
from gansmith.data.base import DataOptions, Item, Listing, left_out_line
from gansmith.data.sources.label_tables import (
    FEW_LABELS,
    LABEL_COLUMNS,
    TABLE_ENDINGS,
    UTF16_MARKS,
    LabelTable,
    label_by_table,
    natural,
    no_classes,
    spelled_alike,
    with_labels,
)
from gansmith.data.sources.measurements import are_measurements
from gansmith.data.sources.options import FOLDER_LABELS, NAME_LABELS, NO_LABELS
from gansmith.data.sources.walk import BROKEN_LINK, LeftOut, ending_noun, ending_of, images_among, rubbish_noun
from gansmith.imaging.images import ENDINGS, open_image

TABLE = "labels.csv"
AUTOMATIC_TABLES = (
    TABLE,
    "labels.tsv",
    "labels.jsonl",
    "metadata.csv",
    "metadata.jsonl",
)  # read without being asked for, in this order
OTHER_TABLES = frozenset({".xlsx", ".xls", ".ods", ".parquet", ".csv.gz", ".tsv.gz", ".jsonl.gz", ".sqlite", ".db"})
MOST_IN_ONE, FEWEST_OF_CLASS = 0.98, 50  # a folder with nearly all images, and others with few, are no classes
MOST_LOOSE = 0.01  # share of images beside folders that are classes; more are no classes
# Files of package managers, which quote names in which an image may be called too.
NO_TABLES = frozenset({"package.json", "package-lock.json", "composer.json", "bower.json", "component.json"})
FEWEST_TWINS, MOST_TWINS = 4, 4  # names with several images each, and images of a name
NARROWEST_PAIR = 1.5  # width through height of two images side by side
MOST_TEXTS = 10  # text files whose beginning is looked at
# The first words of a file name, before the number at its end: cat.1.jpg, great_pyrenees_12.jpg, 0_001.png, cat (3).
FIRST_WORDS = re.compile(r"(.+?)((?<=\d)[-_. ]+|(?<=\D)[-_. ]*)(\d+|(?<=\W)\(\d+\))")
FEWEST_OF_WORD, MOST_OTHER_NAMES = 5, 0.02  # images of each word on average; share of names without one
READ_ARCHIVES = (".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz")
STYLEGAN_FILE = "dataset.json"
MAX_JSON_BYTES, MAX_JSON_LISTS = 64 * 10**6, 8 * 10**6  # of dataset.json; the lists of ImageNet are 1.3 million
MAX_SIDECAR_BYTES = 10**6
# Names of the parts of a set: train, train2017, training_set, images_train, split=train; val, test2017, test_set.
_AROUND = (r"((images?|imgs?|data)[-_ ]?|(split|subset|part)=)?", r"([-_ ]?(set|images?|imgs?|data|split|\d{1,4}))?")
TRAIN = re.compile("(train|training|trn|train[-_ ]?val)".join(_AROUND), re.IGNORECASE)
OTHER_SPLITS = re.compile(
    "(test|testing|tst|val|valid|validation|dev|eval|holdout|unlabell?ed)".join(_AROUND), re.IGNORECASE
)
LABELS_OR_TRAIN = re.compile("label|class|train|meta", re.IGNORECASE)  # in the name of a table that has labels
# Names of two folders that hold the two sides of pairs, or two domains: source, target.
SIDES = (
    ("lr", "hr"), ("source", "target"), ("sources", "targets"), ("input", "target"), ("input", "output"),
    ("inputs", "targets"), ("inputs", "outputs"), ("images", "masks"), ("image", "mask"), ("images", "labels"),
    ("imgs", "masks"), ("low", "high"), ("blur", "sharp"), ("noisy", "clean"), ("before", "after"),
)  # fmt: skip
# The same, but only if most files of one folder have the name of a file in the other.
LIKELY_SIDES = (
    ("images", "annotations"), ("image", "gt"), ("images", "gt"), ("images", "groundtruth"),
    ("input", "gt"), ("input", "groundtruth"), ("rgb", "depth"), ("hazy", "gt"), ("hazy", "clear"), ("rain", "norain"),
    ("photos", "sketches"), ("photo", "sketch"), ("leftimg8bit", "gtfine"), ("jpegimages", "segmentationclass"),
    ("jpegimages", "segmentationobject"),
    ("low", "normal"), ("sar", "optical"), ("img", "mask"), ("img", "gt"), ("images", "segmentation"),
    ("rain", "clean"), ("rainy", "clean"), ("rainy", "gt"), ("hazy", "clean"), ("blurred", "sharp"),
    ("blurry", "sharp"),
    ("photo", "label"), ("photos", "labels"), ("image", "label"), ("img", "label"), ("lq", "hq"), ("lq", "gt"),
    ("degraded", "clean"), ("lowres", "highres"), ("gray", "color"), ("grey", "colour"), ("gray", "rgb"),
    ("rgb", "thermal"), ("visible", "infrared"), ("vis", "ir"), ("edges", "photos"), ("sketch", "photo"),
    ("satellite", "map"), ("satellite", "maps"),
)  # fmt: skip
# The same views of each scene beside two sides: rgb, depth, semantic.
VIEWS = {"semantic", "semantics", "instance", "instances", "normals", "disparity", "flow", "albedo", "seg"}
SIDE_WORDS = frozenset(word for pair in (*SIDES, *LIKELY_SIDES) for word in pair) | VIEWS
SESSION = re.compile(
    r"((session|part|batch|shard|chunk|fold|run|seq|sequence|scene|clip|video|take|folder|dir|set|img|image|images|disc|"
    r"disk|roll|dcim|sub|subject|patient|pat|pt|person|user|participant|camera|cam|device|day|night|week|month|trial|case|slide|"
    r"site|scan|exp|experiment|recording|rec|flight|mission|tile|block|frame|frames|cv|worker|page|volume|vol|chapter|"
    r"section|series|ser|study|stu|visit|timepoint|plate|well|fov|replicate|rep|split|subset|iter|epoch|step|dsc|dscn|dscf|pxl|mvi)"
    r"([-_ .=]?\(?\d+\)?|[-_ .=][a-z])|part[-_ .][a-z]{2}|new folder.*|\d{3}[a-z_]{5})", re.IGNORECASE
)  # fmt: skip
COMMON_START = re.compile(r".*[-_ .]")  # of the names of parts: HAM10000_images_part_1
# X.mask, X_mask: the name of an image, and what a file beside it holds.
COMPANION = re.compile(
    r"(.+?)([-_. ](masks?|seg|segmentation|labels?|labelids|gt|groundtruth|depth|disp|normals?|edges?|"
    r"matte|alpha|thumb|thumbnail|annotation|instanceids|color|overlay))", re.IGNORECASE
)  # fmt: skip
UUID = r"\{?[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}\}?|[0-9a-f]{24}|[0-9a-f]{40}|[0-9a-f]{64}"  # or a hash
THUMBNAILS = re.compile(r"(.+[-_ .])?thumb(nail)?s?([-_ .]?\d+(x\d+)?)?", re.IGNORECASE)
DEVICE_FOLDERS = {
    "dcim",
    "pictures",
    "camera",
    "camera roll",
    "screenshots",
    "download",
    "downloads",
    "movies",
    "whatsapp images",
}
FORMAT_OR_SIZE = re.compile(
    r"(png|jpe?g|gif|webp|bmp|tiff?|npy)s?|((images?|imgs?|faces|photos|crops?)[-_ ]?)?\d+x\d+(px)?|\d+ ?px|@?\d+x",
    re.IGNORECASE,
)
DATE = re.compile(
    r"(19|20)\d\d([-_. ]?(0?[1-9]|1[0-2])([-_. ]?[0-3]?\d)?)?([-_ tT].*)?|[0-3]?\d[-_. ][01]?\d[-_. ](19|20)\d\d"
    r"|[0-2]?\d[-:.h][0-5]\d([-:.m][0-5]\d)?s?"
)
CALENDAR = (
    {month.lower() for names in (calendar.month_name, calendar.month_abbr) for month in names if month},
    {day.lower() for names in (calendar.day_name, calendar.day_abbr) for day in names if day},
)


def _all_match(pattern: str | re.Pattern[str]) -> Callable[[Sequence[str]], bool]:
    return lambda names: all(re.fullmatch(pattern, name) for name in names)


def _are_sessions(names: Sequence[str]) -> bool:
    """Say whether names are those of sessions or parts, also behind words that all of them begin with."""
    shared = COMMON_START.match(os.path.commonprefix(list(names)))  # noqa: RUF071  (of names)
    # "images_part_1" has two words of sessions, and "part_1" alone says enough.
    starts = [0, *(at.end() for at in re.finditer(r"[-_ .]", shared[0]))] if shared else [0]
    return any(all(SESSION.fullmatch(name[start:]) for name in names) for start in starts)


def _are_dates(names: Sequence[str]) -> bool:
    """Say whether names are dates, also behind words that all of them begin with: Photos from 2021."""
    shared = COMMON_START.match(os.path.commonprefix(list(names)))  # noqa: RUF071  (of names)
    return any(all(DATE.fullmatch(name[start:]) for name in names) for start in (0, len(shared[0]) if shared else 0))


def _are_buckets(names: Sequence[str]) -> bool:
    """Say whether names are the first two or three digits of hashes, as stores of files have them."""
    is_hex = len(names) > 3 and all(re.fullmatch(r"[0-9a-f]{2,3}", name) for name in names)
    firsts = {name[0] for name in names}  # c0, c1, ... are no hashes
    return is_hex and len({*map(len, names)}) == 1 and any(map(str.isdecimal, firsts)) and any(map(str.isalpha, firsts))


def is_split(name: str) -> bool:
    """Say whether a folder has the name of a part of a set, for training or not."""
    return bool(TRAIN.fullmatch(name) or OTHER_SPLITS.fullmatch(name))


# What the names of folders look like that are no classes.
NOT_CLASSES = (
    ("splits", lambda names: all(map(is_split, names))),
    ("dates", _are_dates),
    ("dates", lambda names: any({name.lower() for name in names} <= each for each in CALENDAR)),
    ("formats or sizes of files", _all_match(FORMAT_OR_SIZE)),
    ("numbered parts", _all_match(r"0*\d{3,}")),
    ("numbers that programs gave", _all_match(UUID)),
    ("sessions or parts", _are_sessions),
    ("measurements", are_measurements),
    ("folders of a phone or camera", lambda names: {name.lower() for name in names} <= DEVICE_FOLDERS),
    ("the first digits of hashes", _are_buckets),
)
# What helps with files that hold images in another form, by ending.
HELP = (
    ((".heic", ".heif"), "pip install 'gansmith[formats]' reads HEIC"),
    ((".avif", ".avifs"), "a newer Pillow reads AVIF: pip install -U pillow"),
    ((".jxl",), "pip install pillow-jxl-plugin reads JPEG XL"),
    ((".mp4", ".avi", ".mov", ".mkv", ".webm"), "make images of a video: ffmpeg -i VIDEO FRAMES/%06d.png"),
    ((".zip", ".tar", ".tgz", ".tar.gz", ".tar.bz2", ".tar.xz"), "pass one of the archives inside, after unpacking"),
    ((".npy", ".npz"), "put arrays into a folder of their own"),
    ((".001", ".002", ".z01", ".z02"), "join the parts of the archive: cat X.0* > X; of .z01: zip -s 0 X.zip --out Y"),
    ((".rar", ".7z", ".gz", ".xz", ".bz2", ".zst", ".lz4", ".tar.zst"), "unpack them and pass the folder"),
    ((".parquet", ".arrow"), "pass .parquet files by themselves; a folder of a Hugging Face data set as hf:FOLDER"),
    ((".h5", ".hdf5", ".mat", ".nc", ".fits", ".fit", ".pt", ".pth", ".pkl", ".tfrecord", ".mdb", ".mgz", ".nrrd",
      ".mha", ".hdr", ".exr"), "save the images as .npy (numpy.save), in their units"),
    ((".svg", ".svgz", ".pdf", ".eps", ".ai"), "draw them as PNG first: rsvg-convert -h 64 X.svg -o X.png"),
    ((".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2", ".psd", ".xcf", ".tga", ".dds",
      ".pcx", ".sgi", ".ras", ".xpm"),
     "convert them to PNG or TIFF, for example with ImageMagick: mogrify -format png FILES"),
)  # fmt: skip
# Endings of texts beside images: never a reason to stop.
TEXTS = frozenset({
    ".txt", ".json", ".jsonl", ".xml", ".csv", ".tsv", ".yaml", ".yml", ".md", ".rst", ".html", ".htm", ".log", ".cls",
    ".pdf", ".ini", ".toml", ".py", ".ipynb", ".url", ".md5", ".sha256", ".xmp", ".aae", ".pts", ".license",
})  # fmt: skip


@dataclass(frozen=True)
class Files:
    """The files of a folder or an archive: (printable name, locator) pairs, and how to read small ones."""

    where: str
    names: list[tuple[str, Any]]
    left_out: LeftOut
    open: Callable[[Any], IO[bytes]]
    read_many: Callable[[Sequence[Any]], Iterator[tuple[int, bytes]]]  # (position, content), in the fastest order
    beside: Path | None = None  # a table beside the folder
    shards: bool = False  # the top folders are archives that are read as one


@dataclass(frozen=True)
class _Image:
    parts: tuple[str, ...]  # of its name below the shared folders
    name: str  # in the source
    locator: Any


def lay_out(files: Files, options: DataOptions) -> Listing:
    """Return the images among files, sorted, with their labels, and notes on the layout.

    Folders that all images share are stripped first. DataError without images, for two domains or sides of pairs in one
    folder, and where more is left out than read.
    """
    images, others, notes, are_arrays = _sorted_out(files)
    images, split_notes = _training_part(_stripped(images), files)
    images, thumbnail_notes = _without_thumbnails(_stripped(images))
    images, companion_notes = _without_companions(images)
    notes += [*split_notes, *thumbnail_notes, *companion_notes, *_twin_notes(images)]
    _refuse_mostly_left_out(files, images, others, options)
    images = sorted(_stripped(images), key=lambda image: image.name.split("/") if files.shards else [*image.parts])
    plain = Listing(tuple(Item(image.name, -1, image.locator) for image in images))
    used: set[str] = set()
    if options.labels == NO_LABELS:
        listing = plain
        notes.append("no labels: labels=none")
    elif options.labels == FOLDER_LABELS:
        listing = _by_folders(plain, images, notes, is_asked=True)
    elif options.labels == NAME_LABELS:
        listing = _by_names(plain)
    else:
        labels = _LabelFiles(files, others if files.shards else _near(others, images), options.labels)
        found = labels.find(plain)
        if found is None:
            _refuse_sides(images, files.where)
            found = _by_folders(plain, images, notes)
            notes += [] if found.classes else _name_notes(images)
        else:
            _refuse_mostly_unlabelled(found, len(images), files.where, options)
        listing, used = found, labels.used
        notes += [*labels.remarks, *_unused_tables(files, others, labels, images)]
    short = {image.name: image.name if files.shards else "/".join(image.parts) for image in images}
    left_out = Counter(files.left_out.counts)
    left_out.update(ending_noun(name) for name, _ in others if name not in used)
    items = tuple(replace(item, name=short[item.name]) for item in listing.items)
    notes += listing.notes
    return replace(listing, items=items, ignored=dict(left_out), notes=tuple(notes), are_arrays=are_arrays)


def _near(others: list[tuple[str, Any]], images: list[_Image]) -> list[tuple[str, Any]]:
    """Return the files that lie above the images, or among them; not those of other splits."""
    first = images[0]
    top = first.name.split("/")[: -len(first.parts)]
    return [
        (name, locator)
        for name, locator in others
        if (folders := name.split("/")[:-1]) == top[: len(folders)] or top == folders[: len(top)]
    ]


def _sorted_out(files: Files) -> tuple[list[_Image], list[tuple[str, Any]], list[str], bool]:
    """Return images, other files, a note if the images are arrays, and whether they are; DataError without any."""
    found, are_arrays = images_among(files.names, files.read_many)
    if found:
        skipped = 1 if files.shards else 0  # folders at the top that say nothing
        images = [_Image(tuple(n.split("/")[skipped:]), n, locator) for n, locator in found]
        names = {image.name for image in images}
        kinds = " or ".join(sorted({ending_of(name) or "extensionless" for name in names}))
        notes = [f"each {kinds} file is read as an image, or as several of one shape"] if are_arrays else []
        return images, [entry for entry in files.names if entry[0] not in names], notes, are_arrays
    counts = files.left_out.counts + Counter(ending_noun(name) for name, _ in files.names)
    advice = help_for([name for name, _ in files.names])
    if not advice and any(ending_of(name) == ".csv" for name, _ in files.names):
        advice = "pass the folder with the images; of a table of pixel values make an array: numpy.save (N, H, W)"
    archive = next((name for name, _ in files.names if ending_of(name) in READ_ARCHIVES), "")
    if archive and Path(files.where).is_dir():
        advice = f"pass an archive itself: '{files.where}/{archive}'"
    raise DataError(
        "data.empty",
        f"no images in '{files.where}' and its sub-folders"
        + (f"; {left_out_line(counts)}" if counts else "")
        + f"\n  image files end in {', '.join(ENDINGS)}"
        f"\n  {advice or 'pass the folder with the images, an archive of it, a .npz or a .npy'}",
    )


def _stripped(images: list[_Image]) -> list[_Image]:
    """Return images without the folders at the top that all of them share."""
    while len({i.parts[0] if len(i.parts) > 1 else "" for i in images}) == 1 and len(images[0].parts) > 1:
        images = [replace(image, parts=image.parts[1:]) for image in images]
    return images


def _tops(images: list[_Image]) -> list[str] | None:
    """Return the names of the top folders; None if an image lies in none of them, or all in one."""
    tops = sorted({image.parts[0] for image in images if len(image.parts) > 1})
    return tops if len(tops) > 1 and all(len(image.parts) > 1 for image in images) else None


def _training_part(images: list[_Image], files: Files) -> tuple[list[_Image], list[str]]:
    """Return the images of the folder train/ beside test/ or val/, and a note; all images for other layouts."""
    counts = Counter(image.parts[0] if len(image.parts) > 1 else "" for image in images)
    train = next((top for top in sorted(counts) if TRAIN.fullmatch(top)), None)
    splits = {top for top in counts if OTHER_SPLITS.fullmatch(top)}
    if train is None or not splits:
        train, splits = _splits_of_a_set(counts)
    if train is None or not splits:
        return _training_parts_below(images)
    chosen = [image for image in images if image.parts[0] == train and len(image.parts) > 1]
    top = chosen[0].name.split("/")[: -len(chosen[0].parts)]
    place = "/".join([files.where, *top])
    others = sorted(counts.keys() - {train, ""}, key=lambda name: (name not in splits, name))
    shown = ", ".join(f"{name}/ with {counted(counts[name], 'image')}" for name in others)
    shown += f", {counted(counts[''], 'image')} beside them" if counts[""] else ""
    use = f"; to evaluate on it: gansmith evaluate RUN '{place}/{others[0]}'" if Path(files.where).is_dir() else ""
    return chosen, [f"splits: trained on {train}/, not on {shown}{use}"]


def _splits_of_a_set(tops: Iterable[str]) -> tuple[str | None, set[str]]:
    """Return faces_train and {faces_test} of some folders: names that differ in the word for the part alone."""
    parts: dict[tuple[str, ...], dict[bool, list[str]]] = defaultdict(lambda: defaultdict(list))
    for top in sorted(tops):
        words = re.split(r"[-_ .]", top.lower())
        for at, word in enumerate(words):
            if is_split(word) and len(words) > 1:
                parts[*words[:at], "", *words[at + 1 :]][bool(TRAIN.fullmatch(word))].append(top)
    trains = [(each[True], each[False]) for each in parts.values() if each[True]]
    if len(trains) != 1 or len(trains[0][0]) != 1:  # such as train_A and train_B
        return None, set()
    return trains[0][0][0], set(trains[0][1])


def _training_parts_below(images: list[_Image]) -> tuple[list[_Image], list[str]]:
    """Return the images of train/ in each folder, and a note: cat/train and cat/test, dog/train and dog/test.

    All images, unless each folder has such a part and one has another.
    """
    folders = Counter(image.parts[:2] for image in images if len(image.parts) > 2)
    trains = {top: part for top, part in sorted(folders, reverse=True) if TRAIN.fullmatch(part)}
    if {image.parts[0] for image in images} != {*trains} or not any(
        OTHER_SPLITS.fullmatch(part) for _, part in folders
    ):
        return images, []
    chosen = [image for image in images if image.parts[1] == trains[image.parts[0]] and len(image.parts) > 2]
    others = Counter(part for (top, part), count in folders.items() for _ in range(count) if part != trains[top])
    shown = ", ".join(f"{part}/ with {counted(count, 'image')}" for part, count in sorted(others.items()))
    return chosen, [f"splits: trained on {_list(sorted({*trains.values()}))}/ in each folder, not on {shown}"]


def _without_thumbnails(images: list[_Image]) -> tuple[list[_Image], list[str]]:
    """Return the images but for a folder of their thumbnails, and a note: images1024x1024/ and thumbnails128x128/."""
    stems: dict[str, set[str]] = defaultdict(set)
    for image in images:
        stems[image.parts[0] if len(image.parts) > 1 else ""].add(PurePosixPath(image.parts[-1]).stem)
    small = {top for top in stems if THUMBNAILS.fullmatch(top)}
    others = {stem for top in stems.keys() - small for stem in stems[top]}
    small = {top for top in small if 2 * len(stems[top] & others) > len(stems[top])}
    kept = [image for image in images if len(image.parts) < 2 or image.parts[0] not in small]
    notes = [f"not used: {_list(sorted(small))}/, thumbnails of the other images"] if small else []
    return kept, notes


def _without_companions(images: list[_Image]) -> tuple[list[_Image], list[str]]:
    """Return the images without masks and the like beside them, and a note: X.mask.png or X_mask.png beside X.jpg.

    They are left out only if most images have one.
    """
    kept, others = list[_Image](), Counter[str]()
    keys = {(image.parts[:-1], PurePosixPath(image.parts[-1]).stem) for image in images}
    for image in images:
        stem = PurePosixPath(image.parts[-1]).stem
        found = COMPANION.fullmatch(stem)
        if found and (image.parts[:-1], found[1]) in keys:
            others[found[2].lower()] += 1
        else:
            kept.append(image)
    if sum(others.values()) * 2 <= len(kept):
        return images, []
    counts = ", ".join(f"{number:,} NAME{ending}" for ending, number in others.most_common())
    return kept, [f"not used: {counts} beside the images; to learn from pairs, put them into a folder of their own"]


def _twin_notes(images: list[_Image]) -> list[str]:
    """Return a note if most names have the same few images each, such as X.input.png and X.target.png."""
    ends: dict[tuple[str, ...], list[str]] = defaultdict(list)
    for image in images:
        name, _, end = image.parts[-1].partition(".")
        ends[(*image.parts[:-1], name)].append(end)
    ((kinds, count),) = Counter(tuple(sorted(each)) for each in ends.values()).most_common(1)
    if count < max(FEWEST_TWINS, len(ends) / 2) or not 1 < len({*kinds}) == len(kinds) <= MOST_TWINS:
        return []
    told = ", ".join(f"NAME.{kind}" for kind in kinds)
    return [f"{told}: {len(kinds)} images for each name, all taken; for pairs put each kind into a folder of its own"]


def _refuse_sides(images: list[_Image], where: str) -> None:
    """Raise DataError, with the command to type, for two domains or the two sides of pairs in one folder."""
    tops = _tops(images)
    if not tops:
        return
    top = images[0].name.split("/")[: -len(images[0].parts)]
    is_folder = Path(where).is_dir()
    place = "/".join([where if is_folder else "FOLDER", *top])
    unpack = "" if is_folder else "unpack it into FOLDER; "
    domains = _two_domains(images, tops)
    if domains:
        first, second = (f"'{place}/{side}'" for side in domains)
        raise DataError(
            "data.two_domains",
            f"'{where}' holds two domains ({_list(tops)}), not one set of images"
            f"\n  {unpack}to translate between them: gansmith train --from {first} --to {second}"
            f"\n  pairs: gansmith train {first} {second} --pairs; as one set: labels=none or labels=folders",
        )
    stems: dict[str, list[str]] = {name: [] for name in tops}
    for image in images:
        stems[image.parts[0]].append(PurePosixPath(image.parts[-1]).stem)
    if sides := _two_sides(stems):
        first, second = (f"'{place}/{side}'" for side in sides)
        beside = [f"{name}/" for name in tops if name not in sides]
        others = f" (beside {', '.join(beside)})" if beside else ""
        raise DataError(
            "data.two_sides",
            f"'{where}' holds {sides[0]}/ and {sides[1]}/{others}, which look like two sides, not like classes"
            f"\n  {unpack}pairs: gansmith train {first} {second} --pairs; without pairs: --from {first} --to {second}"
            "\n  one side alone: pass its folder; as one set: labels=none, or labels=folders: the folders as classes",
        )


def _two_domains(images: list[_Image], tops: Sequence[str]) -> tuple[str, str] | None:
    """Return the folders of two domains below the top: trainA and trainB, train_A and train_B, A/train and B/train."""
    named = {re.sub(r"[-_ .]", "", name.lower()): name for name in tops}
    if {"traina", "trainb"} <= named.keys() <= {"traina", "trainb", "testa", "testb", "vala", "valb"}:
        return named["traina"], named["trainb"]
    parts = {image.parts[0]: image.parts[1] for image in images if len(image.parts) > 2}
    if named.keys() == {"a", "b"} == {name.lower() for name in parts} and all(map(TRAIN.fullmatch, parts.values())):
        first, second = (f"{named[side]}/{parts[named[side]]}" for side in ("a", "b"))
        return first, second
    return None


def _two_sides(stems: Mapping[str, Sequence[str]]) -> tuple[str, str] | None:
    """Return two folders as source and target if their names say so; None for others.

    A word of the name is enough: DIV2K_train_LR_bicubic and DIV2K_train_HR. Folders beside them must be sides too.
    ``stems``: the names of the files in each folder, without endings.
    """
    words = {top: {top.lower(), *re.split(r"[-_ .]", top.lower())} for top in stems}
    if len(stems) != 2 and not all(words[top] & SIDE_WORDS for top in stems):
        return None
    for sides, needs_names in ((SIDES, False), (LIKELY_SIDES, True)):
        for source, target in sides:
            for first, second in permutations(stems, 2):
                is_whole = {source, target} == {first.lower(), second.lower()}
                fits = source in words[first] and target in words[second] and target not in words[first]
                if fits and ((is_whole and not needs_names) or _share_names(stems[first], stems[second])):
                    return first, second
    return None


def _share_names(first: Sequence[str], second: Sequence[str]) -> bool:
    """Say whether the files of two folders mostly have the same names, or names that begin alike: 0001 and 0001x2.

    The folder with fewer files decides: not every photo has a mask.
    """
    one, two = ({_start_of(stem) for stem in stems} for stems in (first, second))
    return 2 * len(one & two) > min(len(one), len(two))


def _start_of(stem: str) -> str:
    found = re.match(r"\d+|[^\W_]+([-_]\d+)*", stem)
    return found[0] if found else stem


def sides_of(folder: Path) -> tuple[Path, Path] | None:
    """Return the folders of sources and targets in a folder that has both, for --pairs; None for other folders.

    DataError for two folders with the same file names, which do not say what they are.
    """
    if not folder.is_dir():
        return None
    below = {
        entry.name: entry
        for entry in sorted(folder.iterdir())
        if entry.is_dir() and not rubbish_noun(printable(entry.name), is_folder=True)
    }
    named = {name.lower(): entry for name, entry in below.items()}
    for source, target in (("traina", "trainb"), ("train_a", "train_b"), ("a", "b"), *SIDES, *LIKELY_SIDES):
        if source in named and target in named:
            return _train_below(named[source]), _train_below(named[target])
    stems = {name: [path.stem for path in entry.rglob("*") if path.is_file()] for name, entry in below.items()}
    if len(below) > 1 and (found := _two_sides(stems)):
        return below[found[0]], below[found[1]]
    train = next((entry for name, entry in below.items() if TRAIN.fullmatch(name)), None)
    if train is not None or len(below) == 1:
        return sides_of(train or next(iter(below.values())))
    if len(below) == 2 and _share_names(*stems.values()) and _are_single(below.values()):
        first, second = (f"'{escaped(entry)}'" for entry in below.values())
        raise DataError(
            "data.unnamed_sides",
            f"'{escaped(folder)}' holds {_list(sorted(below))} with the same file names: which are the sources?"
            f"\n  pass the sources first: gansmith train {first} {second} --pairs",
        )
    return None


def _are_single(folders: Iterable[Path]) -> bool:
    """Say whether folders have a few images of the same names which are too narrow to show a pair side by side."""
    files = [sorted(path for path in folder.rglob("*") if path.suffix.lower() in ENDINGS) for folder in folders]
    if min(map(len, files)) < FEWEST_TWINS:
        return False
    try:
        first = open_image(read_bytes(files[0][0]))
    except (OSError, DataError):
        return False
    return first.width < NARROWEST_PAIR * first.height


def _train_below(folder: Path) -> Path:
    """Return the folder train/ in a folder, if there are other parts beside it; else the folder itself."""
    names = [entry.name for entry in sorted(folder.iterdir()) if entry.is_dir()]
    train = next((name for name in names if TRAIN.fullmatch(name)), None)
    return folder / train if train and any(map(OTHER_SPLITS.fullmatch, names)) else folder


def _by_folders(listing: Listing, images: list[_Image], notes: list[str], *, is_asked: bool = False) -> Listing:
    """Return the listing with sub-folders as classes; unless asked, numbered parts, dates and sessions are none."""
    loose = [image for image in images if len(image.parts) == 1]
    tops = sorted({image.parts[0] for image in images if len(image.parts) > 1})
    reason, beside = "", f"{counted(len(loose), 'image')} beside the sub-folders ({_list(tops)})"
    if loose and tops and len(loose) > MOST_LOOSE * len(images) and not is_asked:
        reason = f"{beside} instead of in one"
        reason += "; labels=folders leaves them out and takes the folders as classes" if len(tops) > 1 else ""
    elif len(tops) > 1 and not is_asked:
        reason = next((f"the folders {_list(tops)} look like {what}" for what, fits in NOT_CLASSES if fits(tops)), "")
        counts = Counter(image.parts[0] for image in images if len(image.parts) > 1)
        (largest, most), *others = counts.most_common()
        if not reason and _are_running(images, tops):
            reason = f"the folders {_list(tops)} look like parts of files that are numbered through"
        if not reason and most > MOST_IN_ONE * len(images) and others[0][1] < FEWEST_OF_CLASS:
            reason = f"the folder {largest} has {most:,} of {counted(len(images), 'image')}"
        if not reason and len(tops) > max(FEW_LABELS, len(images) / 2):
            reason = f"{len(tops):,} folders ({_list(tops)}) for {counted(len(images), 'image')}"
        reason += "; labels=folders takes them as classes" if reason else ""
    if is_asked and len(tops) < 2:
        reason = "labels=folders needs at least two sub-folders of images"
    if reason:
        notes.append(f"no labels: {reason}")
    if reason or len(tops) < 2:
        return listing
    if loose:
        notes.append(f"not used: {beside}, which are the classes; labels=none takes all images, without labels")
    if alike := spelled_alike(tops):
        notes.append(f"classes that differ only in letters or spaces: {alike}")
    index = {name: label for label, name in enumerate(tops)}
    pairs = zip(listing.items, images, strict=True)
    items = tuple(replace(item, label=index[i.parts[0]]) for item, i in pairs if len(i.parts) > 1)
    return replace(listing, items=items, classes=tuple(tops))


def _are_running(images: list[_Image], tops: Sequence[str]) -> bool:
    """Say whether folders 00, 01, ... have equal numbers of files, the last one perhaps fewer, numbered through."""
    if not all(map(str.isdecimal, tops)) or len({*map(len, tops)}) > 1 or not tops[0].startswith("0") or tops[0] == "0":
        return False
    numbers: dict[str, list[int]] = defaultdict(list)
    for image in images:
        found = re.search(r"\d+$", PurePosixPath(image.parts[-1]).stem)
        numbers[image.parts[0]].append(int(found[0]) if found else -1)
    sizes = [len(numbers[top]) for top in tops]
    follow = all(max(numbers[one]) < min(numbers[other]) for one, other in pairwise(tops))
    return follow and sizes[0] > 1 and len({*sizes[:-1]}) == 1 and sizes[-1] <= sizes[0]


def _first_words(name: str) -> str:
    """Return the words before the number at the end of a file name; "" for other names."""
    found = FIRST_WORDS.fullmatch(PurePosixPath(name).stem)
    return found[1] if found else ""


def _by_names(listing: Listing) -> Listing:
    """Return the listing with the first words of file names as classes."""
    words = {at: word for at, item in enumerate(listing.items) if (word := _first_words(item.name))}
    if len({*words.values()}) < 2:
        reason = "labels=names needs file names of at least two words before numbers: cat.1.jpg, dog.1.jpg"
        return replace(listing, notes=(f"no labels: {reason}",))
    return with_labels(listing, words, "the first words of the file names", "no number at the end of the name")


def _name_notes(images: list[_Image]) -> list[str]:
    """Return a note if the first words of file names are few, as classes are."""
    words = [word for image in images if (word := _first_words(image.parts[-1]))]
    kinds = sorted({*words}, key=natural)
    numbered = [f"{kind}_1" for kind in kinds]
    if (
        len(kinds) < 2
        or len(words) < max((1 - MOST_OTHER_NAMES) * len(images), FEWEST_OF_WORD * len(kinds))
        or _are_sessions(numbered)
        or any(fits(kinds) for _, fits in NOT_CLASSES)
    ):
        return []
    return [f"file names begin with {len(kinds):,} words ({_list(kinds)}); labels=names takes them as classes"]


class _LabelFiles:
    """Labels in files: a table, StyleGAN's dataset.json, or a file beside each image."""

    def __init__(self, files: Files, others: list[tuple[str, Any]], asked: str | None) -> None:
        self._files, self._others, self._asked = files, others, asked
        self.used: set[str] = set()  # names of the files that were read
        self.remarks: list[str] = []  # on files that were not used

    def find(self, listing: Listing) -> Listing | None:
        """Return the listing with labels, or without if the files say that there are none; None if no file says."""
        if self._asked is not None:
            table, name = _asked_table(self._asked, self._files, self._others)
            self.used.add(name)
            return label_by_table(listing, table, self.remarks)
        return (
            self._by_table(listing)
            or self._by_stylegan_file(listing)
            or self._by_sidecars(listing)
            or self._by_parent(listing)
        )

    def _by_table(self, listing: Listing) -> Listing | None:
        for wanted in AUTOMATIC_TABLES:
            if entry := _table_named(wanted, self._others, self._files.where):
                name, locator = entry
                where = f"{self._files.where}/{name}"
                table = LabelTable(where, partial(self._files.open, locator), None, is_asked=wanted == TABLE)
                if found := label_by_table(listing, table, self.remarks):
                    self.used.add(name)
                    return found
        return None

    def _by_stylegan_file(self, listing: Listing) -> Listing | None:
        for name, locator in self._others:
            if name.rpartition("/")[2] == STYLEGAN_FILE:
                found = _by_stylegan_file(
                    listing, f"{self._files.where}/{name}", name, partial(self._files.open, locator)
                )
                if found is not None:
                    self.used.add(name)
                    return found
        return None

    def _by_sidecars(self, listing: Listing) -> Listing | None:
        """Return the labels of KEY.cls, KEY.json or KEY.txt beside KEY.jpg, as in WebDataset's archives."""
        keys = {_key(item.name): at for at, item in enumerate(listing.items)}
        for ending in (".cls", ".json", ".txt"):
            beside = [entry for entry in self._others if ending_of(entry[0]) == ending and _key(entry[0]) in keys]
            if len(beside) < max(1, len(listing.items) / 2):
                continue
            labels: dict[int, str] = {}
            for position, content in self._files.read_many([locator for _, locator in beside]):
                if label := _sidecar_label(content[:MAX_SIDECAR_BYTES], ending):
                    labels[keys[_key(beside[position][0])]] = label
            if reason := no_classes(list(labels.values())) if labels else "no label":
                self.remarks.append(f"the {ending} files beside the images give no classes: they have {reason}")
                continue
            self.used |= {name for name, _ in beside}
            return with_labels(listing, labels, f"the {ending} files beside the images", f"no label in a {ending} file")
        return None

    def _by_parent(self, listing: Listing) -> Listing | None:
        """Return the labels of a labels.csv beside the folder."""
        if (path := self._files.beside) is None:
            return None
        table = LabelTable(escaped(path), partial(open_bytes, path), None, is_asked=False)
        return label_by_table(listing, table, self.remarks)


def open_bytes(path: str | Path) -> IO[bytes]:
    """Open a plain file on disk for reading; raises OSError as ``open_plain``."""
    return open_plain(path)


def _table_named(wanted: str, others: list[tuple[str, Any]], where: str) -> tuple[str, Any] | None:
    """Return the table with a name that is nearest to the top, and its locator; DataError for two at the same depth."""
    tables = [entry for entry in others if entry[0].rpartition("/")[2].lower() == wanted]
    depth = min((name.count("/") for name, _ in tables), default=0)
    highest = [entry for entry in tables if entry[0].count("/") == depth]
    if len(highest) > 1 and wanted == TABLE:
        raise DataError(
            "data.several_tables",
            f"'{where}' has {len(highest)} label tables: {', '.join(sorted(name for name, _ in highest)[:4])}"
            "\n  pass one of the folders, or put one table at the top",
        )
    return highest[0] if len(highest) == 1 else None


def _asked_table(asked: str, files: Files, others: list[tuple[str, Any]]) -> tuple[LabelTable, str]:
    """Return the table FILE[:FILECOLUMN:LABELCOLUMN], and its name in the source; DataError if it is not there.

    FILE is a path, or the name of a file in the folder or archive.
    """
    parts = asked.rsplit(":", 2)
    choices: list[tuple[str, tuple[str, str] | None]] = [(asked, None)]
    choices += [(parts[0], (parts[1], parts[2]))] if len(parts) == 3 else []
    for file, columns in choices:
        path = path_of(file)
        within = printable(file.removeprefix(f"{files.where}/"))
        inside = [entry for entry in others if entry[0] == within or entry[0].rpartition("/")[2] == within]
        if path.is_file():
            return LabelTable(escaped(path), partial(open_bytes, path), columns), inside[0][0] if inside else ""
        if inside:
            name, locator = min(inside, key=lambda entry: entry[0].count("/"))
            return LabelTable(f"{files.where}/{name}", partial(files.open, locator), columns), name
        if path.is_dir() or (Path(files.where) / within).is_dir():
            raise DataError(
                "data.no_table",
                f"labels '{file}' is a folder, not a table\n  name a file: --labels FILE; sub-folders as classes:"
                " labels=folders",
            )
    names = [name for name, _ in others if ending_of(name) in TABLE_ENDINGS]
    raise DataError(
        "data.no_table",
        f"labels '{asked}': there is no such file, neither here nor in '{files.where}'"
        f"\n  its tables: {', '.join(names[:5]) or 'none'}"
        "\n  write --labels FILE or FILE:FILECOLUMN:LABELCOLUMN, labels=none, labels=folders, or labels=names",
    )


def _unused_tables(files: Files, others: list[tuple[str, Any]], labels: _LabelFiles, images: list[_Image]) -> list[str]:
    """Return notes that name the tables that are not read."""
    said = " ".join(labels.remarks)
    entries = [(name, locator) for name, locator in others if name not in labels.used and name not in said]
    tables = [name for name, _ in entries if ending_of(name) in TABLE_ENDINGS and ending_of(name) != ".json"]
    # Most texts and .json files beside images are no tables.
    perhaps = [(name, place) for name, place in _near(entries, images) if ending_of(name) in (".txt", ".json")]
    perhaps = [entry for entry in perhaps if PurePosixPath(entry[0]).name not in NO_TABLES]
    if len(perhaps) <= MOST_TEXTS:
        stems = {PurePosixPath(image.parts[-1]).stem for image in images}
        tables += [name for name, locator in perhaps if _names_images(files.open, locator, stems)]
    packed = sorted((name for name, _ in entries if _is_other_table(name)), key=natural)
    notes = [f"tables that are not read: {_list(packed)}; save them as CSV"] if 0 < len(packed) <= MOST_TEXTS else []
    if tables and len(tables) <= max(FEW_LABELS, len(images) / 2):
        names, near = sorted(tables, key=natural), {name for name, _ in _near(others, images)}
        likely = min(names, key=lambda name: (name not in near, not LABELS_OR_TRAIN.search(name)))
        notes.append(f"tables that are not used: {_list(names)}; to take one: --labels '{likely}'")
    return notes


def _is_other_table(name: str) -> bool:
    """Say whether a file is a table of a kind that is not read, also an array that is called labels."""
    ending = ending_of(name)
    is_array = ending in (".npy", ".npz", ".mat", ".pkl") and "label" in PurePosixPath(name).name.lower()
    return ending in OTHER_TABLES or is_array


def _names_images(open_file: Callable[[Any], IO[bytes]], locator: Any, stems: Set[str]) -> bool:
    """Say whether a text begins with names of images and more words, or with names in quotes."""
    try:
        with open_file(locator) as file:
            start = file.read(1 << 16)
    except (DataError, OSError):
        return False
    text = start.decode("utf-16" if start[:2] in UTF16_MARKS else "utf-8", "replace").replace("\\", "/")
    lines = [re.split(r"[\s,;|]+", line.strip()) for line in text.splitlines()[:20]]
    names = [line[0] for line in lines if len(line) > 1] + re.findall(r'"([^"\n]{1,200})"', text)
    return any(PurePosixPath(name).stem in stems for name in names)


def _by_stylegan_file(listing: Listing, where: str, name: str, open_file: Callable[[], IO[bytes]]) -> Listing | None:
    """Return the listing with the labels of StyleGAN's dataset.json; None for a file of another kind.

    Its "labels" are [[name, number], ...] or null; the folders beside it are parts, and no classes.
    """
    try:
        with open_file() as file:
            content = file.read(MAX_JSON_BYTES + 1)
        if len(content) > MAX_JSON_BYTES:
            raise ValueError(f"more than {MAX_JSON_BYTES // 10**6} MB")
        if content.count(b"[") + content.count(b"{") > MAX_JSON_LISTS:
            raise ValueError(f"more than {MAX_JSON_LISTS:,} lists")
        read = parse_json(content)
    except DataError:
        raise
    except (ValueError, OSError) as problem:
        raise DataError(
            "data.unreadable_table", f"'{where}' cannot be read: {problem}\n  repair it, remove it, or pass labels=none"
        ) from problem
    if not isinstance(read, dict) or "labels" not in read:
        return None
    entries, top = read["labels"] or (), name.rpartition("/")[0]
    named: dict[str, str] = {}
    for entry in entries.items() if isinstance(entries, dict) else entries if isinstance(entries, list) else ():
        if isinstance(entry, list | tuple) and len(entry) == 2 and (label := _stylegan_label(entry[1])) is not None:
            named["/".join([*([top] if top else []), printable(str(entry[0]).replace("\\", "/"))])] = label
    labels = {at: named[item.name] for at, item in enumerate(listing.items) if item.name in named}
    if not labels:  # the images have another ending now
        keys = {_key(name): label for name, label in named.items()}
        labels = {at: keys[_key(item.name)] for at, item in enumerate(listing.items) if _key(item.name) in keys}
    reason = no_classes(list(labels.values())) if labels else "no class numbers for these images"
    if reason:
        return replace(listing, notes=(f"no labels: '{where}' (of StyleGAN) has {reason}",))
    return with_labels(listing, labels, f"{where} (of StyleGAN), not the sub-folders", f"not in {STYLEGAN_FILE}")


def _stylegan_label(value: Any) -> str | None:
    """Return a label as text: a number or a name, or the place of the 1 in a vector; None for other vectors."""
    if isinstance(value, list):
        if len(value) == 1:
            return _stylegan_label(value[0])
        is_one_hot = sorted(value, key=str)[:-1] == [0] * (len(value) - 1) if value else False
        return str(value.index(1)) if is_one_hot and 1 in value else None
    return str(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else None


def _key(name: str) -> str:
    """Return the name up to the first dot after its folder, by which WebDataset joins files."""
    folder, slash, file = name.rpartition("/")
    return folder + slash + file.partition(".")[0]


def _sidecar_label(content: bytes, ending: str) -> str:
    """Return the label in a file beside an image; "" without one."""
    text = printable(content.decode("utf-8-sig", "backslashreplace").strip()) if ending != ".json" else ""
    if ending == ".json":
        try:
            value = parse_json(content)
        except ValueError:
            return ""
        fields = value if isinstance(value, dict) else {}
        found = [fields[name] for name in (*LABEL_COLUMNS, "cls") if isinstance(fields.get(name), int | str)]
        text = printable(str(found[0])) if found else ""
    return text[:2000]


def _refuse_mostly_left_out(
    files: Files, images: list[_Image], others: list[tuple[str, Any]], options: DataOptions
) -> None:
    """Raise DataError if more files are left out than read; texts and files named like an image do not count."""
    if options.allow_left_out:
        return
    stems = {_key(image.name) for image in images}
    unread = [(name, locator) for name, locator in others if ending_of(name) not in TEXTS and _key(name) not in stems]
    broken = files.left_out.counts[BROKEN_LINK]
    if len(unread) + broken <= len(images):
        return
    counts = Counter(ending_noun(name) for name, _ in unread) + Counter({BROKEN_LINK: broken})
    advice = help_for([name for name, _ in unread]) or "convert them to PNG, JPEG, WebP or TIFF"
    if broken > len(unread):
        advice = "the files that links name are not here: bring them back, or copy images instead of links (cp -L)"
    raise DataError(
        "data.mostly_left_out",
        f"only {counted(len(images), 'image')} of '{files.where}' can be read; {left_out_line(counts)}"
        f"\n  {advice}"
        "\n  to go on without them: allow_left_out=true",
    )


def _refuse_mostly_unlabelled(listing: Listing, count: int, where: str, options: DataOptions) -> None:
    """Raise DataError if a table or the files beside the images label fewer images than they leave out."""
    missing = count - len(listing.items)
    if missing > len(listing.items) and not options.allow_left_out:
        reason = next((note for note in listing.notes if "left out" in note), "").partition(": ")[2]
        raise DataError(
            "data.mostly_unlabelled",
            f"only {len(listing.items):,} of {counted(count, 'image')} of '{where}' have a label; others have {reason}"
            "\n  to use all images without labels: labels=none; to go on with these few: allow_left_out=true",
        )


def help_for(names: Sequence[str]) -> str:
    """Return what helps with the most common ending of another kind; "" for unknown ones."""
    for ending, _ in Counter(map(ending_of, names)).most_common():
        for endings, advice in HELP:
            if {ending, PurePosixPath(ending).suffix or ending} & {*endings}:  # .tar.gz as such, .png.gz as .gz
                return advice
    return ""


def _list(names: Sequence[str], most: int = 4) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
