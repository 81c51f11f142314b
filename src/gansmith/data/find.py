"""Which source a word on the command line means."""

from pathlib import Path
from typing import Any

from gansmith.core.errors import DataError, nearest, unknown_name
from gansmith.data.base import Source
from gansmith.data.datasets.base import DataSetPart, FileSet, data_sets
from gansmith.data.sources.arrays import array_file
from gansmith.data.sources.domains import PREFIX as DOMAINS
from gansmith.data.sources.domains import Domains, TwoDomains
from gansmith.data.sources.folders_archives import TAR_SUFFIXES, FolderSource, TarSource, ZipSource
from gansmith.data.sources.hub import PREFIX, HubSource
from gansmith.data.sources.pairs import PREFIX as PAIRS
from gansmith.data.sources.pairs import FolderPairs

DataName = str | Path | Domains  # what a user calls a data set


def find_source(source: DataName | Source, root: Path | None = None) -> Source:
    """Return the source with a name, a path, or the ``location`` of a source; DataError where nothing has it.

    A source is returned as it is. A registered name comes before a path. The files of a named data set are looked for
    under ``root``, and downloaded to it if they are not there.
    """
    if not isinstance(source, str | Path | Domains):
        return source
    if isinstance(source, str) and source.startswith(DOMAINS):
        source = Domains.parse(source)
    if isinstance(source, Domains):
        return TwoDomains(find_source(source.first, root), find_source(source.second, root))
    if isinstance(source, str) and source.partition(":")[0] in data_sets.names():
        return named_set(source, root).source()
    if isinstance(source, str) and source.startswith(PREFIX):
        return HubSource(source)
    if isinstance(source, str) and source.startswith(PAIRS):
        return FolderPairs.parse(source)
    path = Path(source).expanduser()
    if path.is_dir():
        return FolderSource(path)
    name = path.name.lower()
    if not path.exists():
        near = nearest(str(source), data_sets.names())
        if not near and path.parent.is_dir():
            near = nearest(path.name, [entry.name for entry in path.parent.iterdir()])
        raise DataError(
            "data.not_found",
            f"no data set and no path is called '{source}'{near}\n  known data sets: {', '.join(data_sets.names())}"
            "\n  or pass a folder, a .zip or .tar of one, a .npz or a .npy, or hf:NAME",
        )
    if name.endswith(".zip"):
        return ZipSource(path)
    if name.endswith(TAR_SUFFIXES):
        return TarSource(path)
    if name.endswith((".npy", ".npz")):
        return array_file(path)
    raise DataError(
        "data.unknown_format",
        f"'{source}' is no data set that gansmith reads"
        f"\n  allowed: a folder, .npz, .npy, .zip, {', '.join(TAR_SUFFIXES)}"
        "\n  for single images pass their folder; for other formats, put the images into a folder or an array",
    )


def named_set(address: str, root: Path | None = None) -> DataSetPart:
    """Return the data set called NAME or NAME:SPLIT; DataError for a split that it does not have."""
    name, colon, split = address.partition(":")
    part = data_sets.get(name)
    if not issubclass(part, FileSet):
        if colon:
            raise DataError("data.no_splits", f"data set '{name}' has no splits, got '{split}'\n  write {name}")
        return part()
    if colon and split not in part.splits:
        raise DataError("data.unknown_split", unknown_name(f"split of {name}", split, part.splits))
    return part(split=split or part.splits[0], root=root)


def list_named_sets(root: Path | None = None) -> list[dict[str, Any]]:
    """Return as JSON values what each named data set is, whether it is here, and where its files go."""
    sets = [named_set(name, root) for name in data_sets.names()]
    return [
        {
            "name": part.kind,
            "splits": list(part.splits) if isinstance(part, FileSet) else [],
            "about": part.about or (part.__doc__ or "").strip().partition("\n")[0],
            "licence": part.licence,
            "here": part.is_here(),
            "folder": str(part.files_go_to()) if part.files_go_to() else None,
        }
        for part in sets
    ]
