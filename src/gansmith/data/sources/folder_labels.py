"""File names in a folder or archive: which are images, which sub-folders are labels."""

from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from gansmith.core.errors import DataError, counted
from gansmith.data.base import Item, Listing

EXTENSIONS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif")
IGNORED = {"__macosx", "thumbs.db", "desktop.ini"}
SPLITS = {"train", "training", "test", "testing", "val", "valid", "validation", "dev"}


def parts_of(name: str) -> tuple[str, ...]:
    """Return the folders and the file of a name, without parts that leave the source; () if any part is hidden."""
    parts = tuple(part for part in name.replace("\\", "/").split("/") if part not in ("", ".", ".."))
    return () if any(part.startswith(".") or part.lower() in IGNORED for part in parts) else parts


def arrange(found: Iterable[tuple[str, Any]], where: str) -> Listing:
    """Return the images among (name, locator) pairs, sorted, with labels from sub-folders; DataError without images.

    Folders that all images share are stripped first. If two or more sub-folders remain at the top and every image lies
    in one of them, these sub-folders are the classes; deeper folders are not.
    """
    images: list[tuple[tuple[str, ...], Any]] = []
    ignored = 0
    for name, locator in found:
        parts = parts_of(name)
        if parts and PurePosixPath(parts[-1]).suffix.lower() in EXTENSIONS:
            images.append((parts, locator))
        elif parts:
            ignored += 1
    if not images:
        others = f", only {ignored:,} other files" if ignored else ""
        raise DataError(
            "data.empty",
            f"no images in '{where}' and its sub-folders{others}\n  image files end in {', '.join(EXTENSIONS)}"
            "\n  pass the folder with the images, an archive of it, a .npz or a .npy",
        )
    while len({parts[0] if len(parts) > 1 else "" for parts, _ in images}) == 1 and len(images[0][0]) > 1:
        images = [(parts[1:], locator) for parts, locator in images]
    images.sort(key=lambda image: image[0])
    loose = sum(len(parts) == 1 for parts, _ in images)
    tops = sorted({parts[0] for parts, _ in images if len(parts) > 1})
    classes = tuple(tops) if not loose else ()
    notes = []
    if loose and tops:
        notes.append(
            f"no labels: {counted(loose, 'image')} beside the sub-folders ({', '.join(tops[:5])}) instead of in one"
        )
    if classes and {name.lower() for name in classes} <= SPLITS:
        notes.append(f"the labels are {', '.join(classes)}: if these are splits, pass one of the folders instead")
    index = {name: label for label, name in enumerate(classes)}
    items = tuple(Item("/".join(parts), index.get(parts[0], -1) if classes else -1, key) for parts, key in images)
    return Listing(items, classes, ignored, tuple(notes))


def image_files(path: Path) -> list[Path]:
    """Return a file itself, or the image files below a folder, sorted; DataError without any."""
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise DataError("data.path_not_found", f"'{path}' does not exist\n  pass image files or folders of them")
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in EXTENSIONS and file.is_file())
    if not found:
        raise DataError("data.empty", f"no images under '{path}' (looked for {' '.join(EXTENSIONS)})")
    return found
