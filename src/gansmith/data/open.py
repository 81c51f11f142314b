"""The one function that opens any data set."""

from pathlib import Path

from gansmith.core.events import OnProgress
from gansmith.data.base import DataOptions, ImageData, Source
from gansmith.data.cache import load_or_build
from gansmith.data.find import DataName, find_source
from gansmith.data.image_format import refuse_for_points
from gansmith.data.sources.options import with_options
from gansmith.data.sources.pairs import check_pairs
from gansmith.data.split import split_data


def open_data(
    source: DataName | Source,
    options: DataOptions | None = None,
    *,
    holdout: float = 0.0,
    seed: int = 0,
    root: Path | None = None,
    on_progress: OnProgress | None = None,
) -> ImageData:
    """Open a data set: a registered name, a folder, an archive or several, a .npz or .npy, hf:NAME, or a source.

    The first call decodes the images into the cache and calls ``on_progress(done, total)``; later calls only compare
    file sizes and times. ``holdout`` is the share of images kept out of training (``ImageData.held_out``); ``seed`` and
    the images' contents alone decide which. ``root`` is the folder of named data sets. Raises DataError.
    """
    options = options or DataOptions()
    found = with_options(find_source(source, root), options)
    check_pairs(found, options)
    whole = load_or_build(found, options, on_progress)
    if whole.spec.is_points:
        refuse_for_points(options)  # again here: the cache ignores the option mirror
    return split_data(whole, holdout, seed)
