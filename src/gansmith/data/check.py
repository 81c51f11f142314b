"""Report on a data set without training: images, sizes, classes, duplicates, damaged files."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gansmith.core.errors import DataError, by_reason, counted, some_of
from gansmith.core.events import OnProgress
from gansmith.core.html import ShownAsLines
from gansmith.data.base import MOST_BAD, DataOptions, Listing, left_out_line
from gansmith.data.duplicates import near_duplicates
from gansmith.data.find import find_source
from gansmith.data.image_format import infer_format
from gansmith.data.image_info import ImageInfo
from gansmith.data.mirroring import FEWEST_FOR_MIRROR, UNLIKE, mirror_shares
from gansmith.data.signatures import Signature, can_hash
from gansmith.data.sources.options import with_options
from gansmith.data.survey import StepCounter, reading, survey
from gansmith.data.value_format import needs_values

MOST_NAMED = 10  # sizes, modes or classes
MOST_REASONS, MOST_OF_GROUP = 2, 3
INFERRED = re.compile(r"inferred (size|channels) [^:]+: (.*)", re.DOTALL)


@dataclass(frozen=True)
class CheckReport(ShownAsLines):
    """The findings of ``check_data``."""

    source: str
    files: int  # files with an image's extension
    usable: int
    ignored: Mapping[str, int]  # what is not read: noun -> number
    sizes: dict[str, int]  # "height x width" -> images, most common first
    modes: dict[str, int]  # Pillow's mode of the file -> images
    classes: dict[str, int]  # usable images of each class, {} without labels
    corrupt: tuple[dict[str, str], ...]  # {"file", "reason"}
    duplicates: tuple[tuple[str, ...], ...]  # groups of files whose decoded pixels are the same
    near_duplicates: tuple[tuple[str, ...], ...] | None  # groups that look the same; None: not searched
    mirror: dict[str, float]  # class ("" without labels) -> share of mirror images unlike the data
    inferred: dict[str, int]  # height, width, channels; {} when training would refuse
    refused: str  # why training would refuse, or ""
    layout: tuple[str, ...]  # remarks on labels, splits and files that are not used
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        near = None if self.near_duplicates is None else [list(group) for group in self.near_duplicates]
        groups = {"duplicates": [list(group) for group in self.duplicates], "near_duplicates": near}
        return {**asdict(self), "corrupt": list(self.corrupt), **groups}

    def lines(self) -> list[str]:
        """Return the report as lines of plain English."""
        out = [f"{self.source}: {counted(self.usable, 'usable image')} of {self.files:,}"]
        out += [left_out_line(self.ignored)] if self.ignored else []
        unbalanced = self.classes and min(self.classes.values()) * 2 < max(self.classes.values())
        out.append(
            "classes: "
            + (_most_common(self.classes) if self.classes else "no labels")
            + ("; unbalanced: the largest class has more than twice the images of the smallest" if unbalanced else "")
        )
        out += self.layout
        if self.sizes:
            out.append(f"sizes (height x width): {_most_common(self.sizes)}; pixel modes: {_most_common(self.modes)}")
        exact = f"exact duplicates: {_grouped(self.duplicates, ' = ')}"
        near = "near duplicates: not searched; to search for them: pip install 'gansmith[check]'"
        if self.near_duplicates is not None:
            near = f"near duplicates: {_grouped(self.near_duplicates, ' ~ ')}"
        findings = [(f"corrupt: {self._corrupt()}", bool(self.corrupt)), (exact, bool(self.duplicates))]
        out += _joined([*findings, (near, self.near_duplicates is None or bool(self.near_duplicates))])
        told = (INFERRED.fullmatch(note) for note in self.notes)
        reasons = {match[1]: match[2] for match in told if match}
        out += [] if self.refused and not self.mirror else self._mirror_lines()
        out += [note for note in self.notes if self.refused or not INFERRED.fullmatch(note)]
        if self.refused:
            return [*out, *f"training would refuse: {self.refused}".split("\n")]
        size = f"{self.inferred['height']} x {self.inferred['width']}"
        parts = [(size, reasons.get("size")), (f"channels {self.inferred['channels']}", reasons.get("channels"))]
        return [*out, f"training would use: {', '.join(f'{each} ({why})' if why else each for each, why in parts)}"]

    def _corrupt(self) -> str:
        """Return how many files are corrupt, and some of them by reason."""
        if not self.corrupt:
            return "none"
        problems = by_reason((entry["file"], entry["reason"]) for entry in self.corrupt)
        more = len(problems) - MOST_REASONS
        rest = f"; and {counted(more, 'other reason')}: --json has all" if more > 0 else ""
        return f"{counted(len(self.corrupt), 'file')}: {'; '.join(problems[:MOST_REASONS])}{rest}"

    def _mirror_lines(self) -> list[str]:
        wrong = {name: share for name, share in self.mirror.items() if share > UNLIKE}
        if not self.mirror:
            return [f"mirroring: not tested; the test needs {FEWEST_FOR_MIRROR} images of one class"]
        if not wrong:
            return ["mirroring: nothing against mirror=true (text in photos is not detected)"]
        found = _most_common({name or "all": f"{share:.0%}" for name, share in wrong.items()})
        where = f" in {len(wrong)} of {len(self.mirror)} classes" if self.classes else ""
        return [f"mirroring: avoid mirror=true: mirror images are unlike the data{where} ({found})"]


def check_data(
    source: str | Path,
    options: DataOptions | None = None,
    *,
    root: Path | None = None,
    on_progress: OnProgress | None = None,
) -> CheckReport:
    """Decode every image of a source and report; bad images are listed. Raises DataError if there are no images."""
    options = options or DataOptions()
    found = with_options(find_source(source, root), options)
    with reading(found):
        listing = found.scan()
        counter, limit = StepCounter(on_progress, len(listing.items)), options.max_pixels
        infos = survey(found, listing, counter, sign=True, limit=limit, pairs=options.pairs)
        if needs_values(infos, options):
            infos = survey(found, listing, lambda: None, sign=True, limit=limit, pairs=options.pairs, values=True)
    usable = [info for info in infos if not info.problem]
    labels = Counter(item.label for item, info in zip(listing.items, infos, strict=True) if not info.problem)
    inferred, refused, notes = _format_or_refusal(infos, options)
    return CheckReport(
        source=found.location,
        files=len(infos),
        usable=len(usable),
        ignored=dict(listing.ignored),
        sizes=dict(Counter(f"{info.height} x {info.width}" for info in usable).most_common()),
        modes=dict(Counter(info.mode for info in usable).most_common()),
        classes={name: labels[label] for label, name in enumerate(listing.classes)},
        corrupt=tuple(
            {"file": item.name, "reason": info.problem}
            for item, info in zip(listing.items, infos, strict=True)
            if info.problem
        ),
        duplicates=_duplicates(listing, infos),
        near_duplicates=_near_duplicates(listing, infos) if can_hash() else None,
        mirror=_mirror(listing, infos),
        inferred=inferred,
        refused=refused,
        layout=listing.notes,
        notes=notes,
    )


def _format_or_refusal(infos: Sequence[ImageInfo], options: DataOptions) -> tuple[dict[str, int], str, tuple[str, ...]]:
    """Return the format that training would use, the reason why it would refuse (or ""), and its notes."""
    bad = sum(bool(info.problem) for info in infos)
    if bad > MOST_BAD * len(infos):
        return {}, f"{bad:,} of {len(infos):,} images are bad, more than {MOST_BAD:.0%}", ()
    if len(infos) - bad == 1:
        return {}, "only one image can be used, and at least 2 are needed", ()
    try:
        inferred = infer_format(infos, options)
    except DataError as problem:
        return {}, str(problem), ()
    return {"height": inferred.height, "width": inferred.width, "channels": inferred.channels}, "", inferred.notes


def _duplicates(listing: Listing, infos: Sequence[ImageInfo]) -> tuple[tuple[str, ...], ...]:
    """Return groups of files with the same decoded pixels."""
    groups: dict[bytes, list[str]] = {}
    for item, info in zip(listing.items, infos, strict=True):
        if info.signature:
            groups.setdefault(info.signature.pixels_sha256, []).append(item.name)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def _near_duplicates(listing: Listing, infos: Sequence[ImageInfo]) -> tuple[tuple[str, ...], ...]:
    """Return groups of files that look the same; the first of exact copies stands for all of them."""
    first: dict[bytes, tuple[int, Signature]] = {}
    for at, info in enumerate(infos):
        if info.signature:
            first.setdefault(info.signature.pixels_sha256, (at, info.signature))
    positions = [at for at, _ in first.values()]
    groups = near_duplicates([signature for _, signature in first.values()])
    return tuple(tuple(listing.items[positions[at]].name for at in group) for group in groups)


def _mirror(listing: Listing, infos: Sequence[ImageInfo]) -> dict[str, float]:
    """Return for each class, by name, the share of mirror images unlike the data."""
    pairs = zip(listing.items, infos, strict=True)
    usable = [(info.signature.thumbnail, item.label) for item, info in pairs if info.signature]
    shares = mirror_shares([thumbnail for thumbnail, _ in usable], [label for _, label in usable])
    return {listing.classes[label] if listing.classes else "": share for label, share in shares.items()}


def _most_common(counts: Mapping[str, int | str]) -> str:
    pairs = [f"{name}: {count if isinstance(count, str) else format(count, ',')}" for name, count in counts.items()]
    return _some(pairs, ", ")


def _grouped(groups: Sequence[Sequence[str]], sign: str) -> str:
    """Return how many copies there are in groups of files, and the largest group."""
    if not groups:
        return "none"
    copies = sum(len(group) - 1 for group in groups)
    largest = max(groups, key=len)
    shown = some_of(largest, MOST_OF_GROUP, sign)
    where = "" if len(groups) == 1 else ", the largest"
    more = "; --json has all" if len(groups) > 1 or len(largest) > MOST_OF_GROUP else ""
    return f"{counted(copies, 'image')} in {counted(len(groups), 'group')}{where}: {shown}{more}"


def _joined(parts: Sequence[tuple[str, bool]]) -> list[str]:
    """Return texts as lines; those without a finding share the last one."""
    found = [text for text, is_finding in parts if is_finding]
    quiet = [text for text, is_finding in parts if not is_finding]
    return [*found[:-1], "; ".join([*quiet, *found[-1:]])]


def _some(names: Sequence[str], sign: str) -> str:
    return some_of(names, MOST_NAMED, sign)
