"""The source of images that a name, a path or an address stands for."""

from pathlib import Path
from urllib.request import url2pathname

from gansmith.core.errors import DataError, nearest
from gansmith.core.file_names import escaped, in_home, path_of, printable
from gansmith.core.object_storage import is_address
from gansmith.data.base import Source
from gansmith.data.datasets.base import data_sets, named_set
from gansmith.data.sources.arrays import array_alone_in, array_file
from gansmith.data.sources.domains import DOMAINS_PREFIX, Domains, TwoDomains
from gansmith.data.sources.folders_archives import (
    TAR_SUFFIXES,
    FolderSource,
    OneFileSource,
    TarSource,
    ZipSource,
    other_archive,
)
from gansmith.data.sources.hub import HUB_PREFIX, HubSource
from gansmith.data.sources.idx_files import is_idx
from gansmith.data.sources.layouts import help_for
from gansmith.data.sources.pairs import PAIRS_PREFIX, FolderPairs
from gansmith.data.sources.parquet import PARQUET_SUFFIX
from gansmith.data.sources.shards import (
    SHARDS_PREFIX,
    open_shards,
    parse_shards,
    shards_in,
    shards_named,
    training_shards,
)
from gansmith.data.sources.stored_file import StoredFile
from gansmith.data.sources.walk import is_image_file

DataName = str | Path | Domains  # the forms in which a user names a data set


def find_source(source: DataName | Source, root: Path | None = None) -> Source:
    """Return the source of a name, a path or an address (the ``location`` of a source); DataError if there is none.

    A source is returned unchanged. A registered name takes precedence over a path. The files of a named data set are
    searched under ``root``, and downloaded to it if they are missing.
    """
    if not isinstance(source, str | Path | Domains):
        return source
    if isinstance(source, str) and source.startswith(DOMAINS_PREFIX):
        source = Domains.parse(source)
    if isinstance(source, Domains):
        return TwoDomains(find_source(source.first, root), find_source(source.second, root))
    if isinstance(source, str) and source.partition(":")[0] in data_sets.names():
        return named_set(source, root).source()
    if isinstance(source, str) and source.startswith(HUB_PREFIX):
        return HubSource(source)
    if isinstance(source, str) and source.startswith(PAIRS_PREFIX):
        return FolderPairs.parse(source)
    if isinstance(source, str) and source.startswith(SHARDS_PREFIX):
        return parse_shards(source)
    if isinstance(source, str) and source.startswith("file://"):
        source = url2pathname(source.removeprefix("file://").removeprefix("localhost"))
    if isinstance(source, str) and is_address(source):
        if shards := shards_named(source):
            return open_shards(shards, source)
        raise DataError(
            "data.unknown_format",
            f"'{escaped(source)}' is not read from object storage"
            "\n  allowed there: .tar and .parquet files, for example s3://bucket/x-{000..127}.tar or s3://bucket/x-*.parquet",
        )
    path = path_of(source)
    if path.is_dir():
        if shards := shards_in(path):
            chosen, notes = training_shards(shards)
            return open_shards(chosen, escaped(path.resolve()), notes)
        alone = array_alone_in(path)
        return array_file(alone) if alone else FolderSource(path)
    name = path.name.lower()
    if not path.exists():
        if shards := shards_named(str(source)):
            return open_shards(shards, escaped(in_home(source).absolute()))
        if path.is_symlink():
            raise DataError(
                "data.not_found",
                f"'{escaped(source)}' is a link to '{escaped(path.readlink())}', which is not there"
                "\n  mount the drive that it is on, or pass another folder or file",
            )
        near = nearest(str(source), data_sets.names())
        if not near and path.parent.is_dir():
            near = nearest(printable(path.name), [printable(entry.name) for entry in path.parent.iterdir()])
        raise DataError(
            "data.not_found",
            f"'{escaped(source)}' is neither a data set nor a path{near}"
            f"\n  known data sets: {', '.join(data_sets.names())}"
            "\n  or pass a folder, a .zip or .tar of one, a .npz or a .npy, or hf:NAME",
        )
    if name.endswith(".zip"):
        return ZipSource(path)
    if name.endswith(TAR_SUFFIXES):
        return TarSource(path)
    if name.endswith(PARQUET_SUFFIX):
        return open_shards([StoredFile(path)], escaped(path.resolve()))
    if name.endswith((".npy", ".npz")) or is_idx(name):
        return array_file(path)
    if is_image_file(path):
        return OneFileSource(path)
    if kind := other_archive(path):  # without an ending, or with another one
        raise DataError("data.other_archive", f"'{escaped(source)}' is {kind[0]}\n  {kind[1]}")
    raise DataError(
        "data.unknown_format",
        f"'{escaped(source)}' has a format that gansmith does not read"
        f"\n  allowed: a folder, .npz, .npy, .zip, .parquet, {', '.join(TAR_SUFFIXES)}, or a file with images"
        f"\n  {help_for([name]) or 'pass the folder of single images; convert other formats to a folder or an array'}",
    )
