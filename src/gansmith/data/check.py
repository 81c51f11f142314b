"""Look at every image of a data set without training: what is there, what is wrong, what would be inferred."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gansmith.core.errors import DataError
from gansmith.data.base import DataOptions, Listing, Progress
from gansmith.data.cache import MOST_BAD
from gansmith.data.duplicates import FEWEST_FOR_MIRROR, UNLIKE, can_hash, draw, mirror_shares, near_duplicates
from gansmith.data.find import find_source
from gansmith.data.infer import ImageInfo, infer
from gansmith.data.survey import Steps, survey
from gansmith.imaging.images import quiet_pillow

MOST_NAMED = 10


@dataclass(frozen=True)
class CheckReport:
    """What was found."""

    source: str
    files: int  # images by their name
    usable: int
    ignored: int  # files that are no images by their name
    sizes: dict[str, int]  # "height x width" -> images, most common first
    modes: dict[str, int]  # Pillow's name of the pixels in the file -> images
    classes: dict[str, int]  # usable images of each class, {} without labels
    corrupt: tuple[dict[str, str], ...]  # {"file", "reason"}
    duplicates: tuple[tuple[str, ...], ...]  # groups of files whose decoded pixels are the same
    near_duplicates: tuple[tuple[str, ...], ...] | None  # groups that look the same; None: nobody looked
    mirror: dict[str, float]  # by class (one without a name, ""): share of the mirror images that are unlike the data
    inferred: dict[str, int]  # height, width, channels; {} when training would refuse
    refused: str  # why training would refuse, or ""
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        near = None if self.near_duplicates is None else [list(group) for group in self.near_duplicates]
        groups = {"duplicates": [list(group) for group in self.duplicates], "near_duplicates": near}
        return {**asdict(self), "corrupt": list(self.corrupt), **groups}

    def lines(self) -> list[str]:
        """Return it in plain words."""
        out = [f"{self.source}: {self.usable:,} usable images of {self.files:,}"]
        out.append(f"ignored: {self.ignored:,} files that are no images by their name")
        out.append("sizes (height x width): " + _most_common(self.sizes))
        out.append("pixel modes: " + _most_common(self.modes))
        out.append("classes: " + (_most_common(self.classes) if self.classes else "no labels"))
        if self.classes and min(self.classes.values()) * 2 < max(self.classes.values()):
            out.append("  unbalanced: the largest class has more than twice the images of the smallest")
        out.append(f"corrupt: {len(self.corrupt):,} files" if self.corrupt else "corrupt: none")
        out += _first_of([f"  {entry['file']}: {entry['reason']}" for entry in self.corrupt])
        copies = sum(len(group) - 1 for group in self.duplicates)
        out.append(f"exact duplicates (same decoded pixels): {copies:,} images in {len(self.duplicates):,} groups")
        out += _named(self.duplicates, " = ")
        out += self._near_lines() + self._mirror_lines() + list(self.notes)
        if self.refused:
            return [*out, f"training would refuse: {self.refused}"]
        shape = f"{self.inferred['height']} x {self.inferred['width']}, channels {self.inferred['channels']}"
        return [*out, f"training would use: {shape}"]

    def _near_lines(self) -> list[str]:
        if self.near_duplicates is None:
            return ["near duplicates: not searched; that needs pip install 'gansmith[check]'"]
        copies = sum(len(group) - 1 for group in self.near_duplicates)
        out = [f"near duplicates (scaled or encoded again): {copies:,} images in {len(self.near_duplicates):,} groups"]
        return out + _named(self.near_duplicates, " ~ ")

    def _mirror_lines(self) -> list[str]:
        wrong = {name: share for name, share in self.mirror.items() if share > UNLIKE}
        if not self.mirror:
            return [f"mirroring: not tested; it needs {FEWEST_FOR_MIRROR} images of a class"]
        if not wrong:
            return ["mirroring: nothing found against mirror=true (text within photos is not detected)"]
        found = _most_common({name or "all": f"{share:.0%}" for name, share in wrong.items()})
        where = f" in {len(wrong)} of {len(self.mirror)} classes" if self.classes else ""
        return [f"mirroring: avoid mirror=true; mirror images are unlike the data{where} (unlike: {found})"]


def check_data(
    source: str | Path,
    options: DataOptions | None = None,
    *,
    root: Path | None = None,
    on_progress: Progress | None = None,
) -> CheckReport:
    """Decode every image and report; raises DataError only when there is nothing to look at."""
    found = find_source(source, root)
    listing = found.scan()
    with quiet_pillow():
        facts = survey(found, listing, True, Steps(on_progress, len(listing.items)), draw)
    usable = [fact for fact in facts if not fact.problem]
    labels = Counter(item.label for item, fact in zip(listing.items, facts, strict=True) if not fact.problem)
    inferred, refused, notes = _verdict(facts, options or DataOptions())
    return CheckReport(
        source=found.location,
        files=len(facts),
        usable=len(usable),
        ignored=listing.ignored,
        sizes=dict(Counter(f"{fact.height} x {fact.width}" for fact in usable).most_common()),
        modes=dict(Counter(fact.mode for fact in usable).most_common()),
        classes={name: labels[label] for label, name in enumerate(listing.classes)},
        corrupt=tuple(
            {"file": item.name, "reason": fact.problem}
            for item, fact in zip(listing.items, facts, strict=True)
            if fact.problem
        ),
        duplicates=_duplicates(listing, facts),
        near_duplicates=_near_duplicates(listing, facts) if can_hash() else None,
        mirror=_mirror(listing, facts),
        inferred=inferred,
        refused=refused,
        notes=(*notes, *listing.notes),
    )


def _verdict(facts: Sequence[ImageInfo], options: DataOptions) -> tuple[dict[str, int], str, tuple[str, ...]]:
    """Return what training would use, why it would refuse, and the notes it would print."""
    bad = sum(bool(fact.problem) for fact in facts)
    if bad > MOST_BAD * len(facts):
        return {}, f"{bad:,} of {len(facts):,} images are bad, more than {MOST_BAD:.0%}", ()
    try:
        plan = infer(facts, options)
    except DataError as problem:
        return {}, str(problem), ()
    return {"height": plan.height, "width": plan.width, "channels": plan.channels}, "", plan.notes


def _duplicates(listing: Listing, facts: Sequence[ImageInfo]) -> tuple[tuple[str, ...], ...]:
    groups: dict[bytes, list[str]] = {}
    for item, fact in zip(listing.items, facts, strict=True):
        if fact.sketch:
            groups.setdefault(fact.sketch.pixels, []).append(item.name)
    return tuple(tuple(names) for names in groups.values() if len(names) > 1)


def _near_duplicates(listing: Listing, facts: Sequence[ImageInfo]) -> tuple[tuple[str, ...], ...]:
    """Return groups of files that look the same; of exact copies only the first takes part."""
    first = {fact.sketch.pixels: at for at, fact in reversed(list(enumerate(facts))) if fact.sketch}
    positions = sorted(first.values())
    groups = near_duplicates([facts[at].sketch for at in positions])
    return tuple(tuple(listing.items[positions[at]].name for at in group) for group in groups)


def _mirror(listing: Listing, facts: Sequence[ImageInfo]) -> dict[str, float]:
    usable = [(fact.sketch, item.label) for item, fact in zip(listing.items, facts, strict=True) if fact.sketch]
    shares = mirror_shares([sketch for sketch, _ in usable], [label for _, label in usable])
    return {listing.classes[label] if listing.classes else "": share for label, share in shares.items()}


def _most_common(counts: Mapping[str, int | str]) -> str:
    pairs = [f"{name}: {count if isinstance(count, str) else format(count, ',')}" for name, count in counts.items()]
    return _some(pairs, ", ")


def _named(groups: Sequence[Sequence[str]], sign: str) -> list[str]:
    """Return a line for each of the first groups of files, and one that says how many more there are."""
    return _first_of(["  " + _some(group, sign) for group in groups])


def _some(names: Sequence[str], sign: str) -> str:
    more = f", and {len(names) - MOST_NAMED:,} more" if len(names) > MOST_NAMED else ""
    return sign.join(names[:MOST_NAMED]) + more


def _first_of(lines: list[str]) -> list[str]:
    return lines[:MOST_NAMED] + ([f"  and {len(lines) - MOST_NAMED:,} more"] if len(lines) > MOST_NAMED else [])
