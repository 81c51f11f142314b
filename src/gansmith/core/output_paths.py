"""Check the paths of files and folders before writing them."""

from pathlib import Path

from gansmith.core.errors import GansmithError

# Endings that people give to files, not to folders.
FILE_ENDINGS = frozenset({
    ".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".svg", ".heic", ".avif", ".jxl", ".ppm", ".psd",
    ".pdf", ".mp4", ".webm", ".mov", ".avi", ".mkv", ".npy", ".npz", ".pt", ".pth", ".pkl", ".safetensors", ".onnx",
    ".h5", ".hdf5", ".mat", ".parquet", ".dcm", ".nii", ".zip", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z",
    ".rar", ".txt", ".csv", ".tsv", ".json", ".jsonl", ".yaml", ".yml", ".toml", ".xml", ".html", ".htm", ".md", ".log",
    ".py", ".ipynb",
})  # fmt: skip


def refuse_used_folder(path: Path, option: str = "") -> None:
    """Raise GansmithError unless an output folder is new or empty; ``option`` ends the message, as ": --out DIR"."""
    if path.is_file() or (path.is_dir() and any(path.iterdir())):
        state = "a file" if path.is_file() else "already there and not empty"
        raise GansmithError("output.exists", f"'{path}' is {state}\n  remove it, or name another folder{option}")


def refuse_file_ending(path: Path) -> None:
    """Raise GansmithError for a new output folder that has the ending of a file."""
    if path.suffix.lower() in FILE_ENDINGS and not path.exists():
        raise GansmithError(
            "output.unknown_ending",
            f"'{path}' has the extension of a file, but it would be a folder\n  leave out {path.suffix}",
        )


def output_file(out: str | Path, what: str, *endings: str) -> Path:
    """Return ``out`` as a path, with its folder made; GansmithError for another ending than ``endings``."""
    path = Path(out)
    if path.suffix.lower() not in endings:
        allowed = ", ".join(f"x{ending}" for ending in endings)
        raise GansmithError(
            "output.unknown_ending", f"cannot write {what} as '{path.suffix or path.name}'\n  allowed: {allowed}"
        )
    make_parent_folders(path)
    return path


def make_parent_folders(path: Path) -> None:
    """Make the parent folders of an output; GansmithError if a file has the name of one of the folders."""
    if any(parent.is_file() for parent in path.parents) or (path.is_file() and not path.suffix):
        raise GansmithError(
            "output.file_in_the_way",
            f"'{path}' cannot be written: a file is in the way\n  name another path: --out PATH",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
