"""Models of the Hugging Face Hub: addresses, and downloads that are checked (extra ``hub``)."""

# Only files that gansmith knows are downloaded: model.json, then the weights that it lists. Their sizes are checked
# before and after the download, their SHA-256 when the folder is loaded. Nothing of a repository is ever run.

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gansmith.core.atomic_files import is_disk_full
from gansmith.core.errors import DiskFullError, GansmithError, ModelError, counted, reason_of, why_not
from gansmith.core.plain_files import read_json
from gansmith.inference.model_record import MODEL_JSON, model_errors

if TYPE_CHECKING:
    from huggingface_hub import ModelInfo

PREFIX = "hf:"
REPO = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
REVISION = re.compile(r"[\w][\w./-]*")
WEIGHTS = re.compile(r"[A-Za-z0-9_][\w-]*\.safetensors")
MAX_RECORD_BYTES, MAX_BYTES = 2**20, 4 * 2**30  # of model.json, of all weights: a hundred times the largest recipe
TIMEOUT_SEC = 10.0


@dataclass(frozen=True)
class HubModel:
    """A model of the Hub whose files are in the cache."""

    repo: str
    commit: str  # 40 hexadecimal digits
    folder: Path

    def damaged(self, problem: ModelError) -> ModelError:
        """Return the error for files that differ from their sums, with the folder to remove from the cache."""
        reason = str(problem).partition("\n")[0]
        again = f"remove {_in_cache(self.folder)}, then try again; if it stays so, tell the author of the model"
        return ModelError(problem.code, f"'{self.address}': {reason}\n  {again}")

    @property
    def address(self) -> str:
        """Return the address with the commit, which always names the same files."""
        return f"{PREFIX}{self.repo}@{self.commit}"


def is_hub_address(path: str | Path) -> bool:
    """Say whether a path is an address of the Hub: hf:NAME/REPO[@REVISION]."""
    return str(path).startswith(PREFIX)


def split_address(address: str | Path) -> tuple[str, str | None]:
    """Return repository and revision (branch, tag or commit) of hf:NAME/REPO[@REVISION]; ModelError for other words."""
    repo, at, revision = str(address).removeprefix(PREFIX).partition("@")
    if not REPO.fullmatch(repo) or ".." in f"{repo}{revision}" or (at and not REVISION.fullmatch(revision)):
        raise ModelError(
            "hub.address",
            f"'{address}' is not the address of a model on the Hub\n  write hf:NAME/REPO or hf:NAME/REPO@REVISION",
        )
    return repo, revision or None


def fetch(address: str | Path) -> HubModel:
    """Download the model of an address into the Hub's cache, or find it there.

    With HF_HUB_OFFLINE=1 only the cache is used. Raises ModelError for a repository that is missing or private, holds
    no model of gansmith, is larger than ``MAX_BYTES``, or lists other files than weights; and if the Hub does not
    answer.
    """
    repo, revision = split_address(address)
    hub = hub_library()
    if hub.constants.HF_HUB_OFFLINE:
        return _from_cache(hub, str(address), repo, revision)
    with hub_errors(str(address)):
        info = hub.HfApi().model_info(repo, revision=revision, files_metadata=True, timeout=TIMEOUT_SEC)
    sizes = _sizes(info)
    if MODEL_JSON not in sizes:
        pickled = any(name.endswith((".bin", ".pt", ".pth", ".ckpt", ".pkl")) for name in sizes)
        raise ModelError(
            "hub.not_a_model",
            f"'{address}' holds no model of gansmith: it has no {MODEL_JSON}"
            + ("\n  weights of other programs: download the file, then gansmith import FILE" if pickled else ""),
        )
    _check_size(str(address), sizes, [MODEL_JSON], MAX_RECORD_BYTES)
    # By branch or tag: the library notes its commit, which HF_HUB_OFFLINE needs.
    folder = _download(hub, str(address), repo, revision, [MODEL_JSON], sizes)
    if folder.name != info.sha:
        raise ModelError("hub.changed", f"'{address}' changed during the download\n  try again")
    names = _weights_listed(str(address), folder / MODEL_JSON)
    missing = [name for name in names if name not in sizes]
    if missing:
        raise ModelError(
            "hub.incomplete",
            f"'{address}' has no file {missing[0]}, which its {MODEL_JSON} lists"
            "\n  pass another revision, or ask the author of the model",
        )
    _check_size(str(address), sizes, names, MAX_BYTES)
    return HubModel(repo, str(info.sha), _download(hub, str(address), repo, info.sha, [MODEL_JSON, *names], sizes))


def hub_library() -> Any:
    """Return the module huggingface_hub; GansmithError if it is not installed."""
    try:
        import huggingface_hub  # an extra: imported here so that gansmith starts without it
        import huggingface_hub.constants
        import huggingface_hub.utils
    except ImportError as problem:
        name = problem.name or "huggingface_hub"
        raise GansmithError(
            "hub.library_missing",
            f"models of the Hub need the library {name}{why_not(problem, name)}"
            "\n  install it: pip install 'gansmith[hub]'",
        ) from problem
    hub: Any = huggingface_hub
    if not sys.stderr.isatty():
        hub.utils.disable_progress_bars()  # no flood in files
    return hub


@contextmanager
def hub_errors(address: str) -> Iterator[None]:
    """Turn errors of the Hub and of the network into ModelError, and a full disk into DiskFullError."""
    from huggingface_hub import errors  # an extra

    try:
        yield
    except GansmithError:
        raise
    except errors.GatedRepoError as problem:
        raise ModelError(
            "hub.no_access",
            f"'{address}' is gated: its owner grants access\n  ask for it on its page, then: hf auth login",
        ) from problem
    except errors.RepositoryNotFoundError as problem:
        raise ModelError(
            "hub.not_found",
            f"'{address}' does not exist, or is private\n  check the name; if it is private: hf auth login",
        ) from problem
    except errors.RevisionNotFoundError as problem:
        raise ModelError(
            "hub.no_such_revision",
            f"'{address}': the repository has no such revision"
            "\n  check the name of the branch, tag or commit, or leave out @REVISION",
        ) from problem
    except Exception as problem:  # the library and the network raise many types
        if is_disk_full(problem):
            raise DiskFullError(
                "disk.full", f"the disk is too full to download '{address}'\n  free some space, then try again"
            ) from problem
        if isinstance(problem, ValueError) and "metadata" in str(problem):  # so the library tells what the Hub says
            raise ModelError(
                "hub.card_refused",
                f"'{address}': the Hub refuses the model card: {reason_of(problem)}"
                "\n  the license must be a name of the Hub; to see the card: gansmith export MODEL --to hub-folder",
            ) from problem
        status = getattr(getattr(problem, "response", None), "status_code", None)
        if status in (401, 403):
            raise ModelError(
                "hub.no_access",
                f"'{address}': the Hub refuses access ({status})\n  log in: hf auth login, or set HF_TOKEN",
            ) from problem
        raise ModelError(
            "hub.unreachable",
            f"'{address}': the Hub cannot be used: {reason_of(problem)}"
            "\n  try again later; HF_HUB_OFFLINE=1 uses what was downloaded before",
        ) from problem


def _in_cache(folder: Path) -> Path:
    """Return the folder of a repository in the cache; those of its commits hold links to files beside them."""
    return folder.parents[1]


def _from_cache(hub: Any, address: str, repo: str, revision: str | None) -> HubModel:
    """Return a model that was downloaded before."""
    folder, names = Path(), [MODEL_JSON]
    try:
        folder = Path(hub.snapshot_download(repo, revision=revision, local_files_only=True, allow_patterns=names))
        names = [MODEL_JSON, *_weights_listed(address, folder / MODEL_JSON)]
        missing = [name for name in names if not (folder / name).is_file()]
    except FileNotFoundError:
        missing = names
    except Exception as problem:
        if isinstance(problem, GansmithError):
            raise
        missing = [reason_of(problem)]
    if missing:
        raise ModelError(
            "hub.offline",
            f"'{address}' is not in the cache, and HF_HUB_OFFLINE is set; missing: {', '.join(missing)}"
            f"\n  cache: {hub.constants.HF_HUB_CACHE}",
        )
    return HubModel(repo, folder.name, folder)


def _sizes(info: "ModelInfo") -> dict[str, int | None]:
    """Return the size in bytes of each file of a repository, as it says."""
    return {each.rfilename: each.size for each in info.siblings or ()}


def _check_size(address: str, sizes: dict[str, int | None], names: list[str], most: int) -> None:
    unknown = [name for name in names if sizes[name] is None]
    total = sum(sizes[name] or 0 for name in names)
    if unknown or total > most:
        what = f"the size of {unknown[0]} is unknown" if unknown else f"{names[0]} has {total:,} bytes"
        if len(names) > 1 and not unknown:
            what = f"its {counted(len(names), 'file')} have {total:,} bytes"
        raise ModelError("hub.too_large", f"'{address}': {what}; allowed: {most:,}\n  nothing of it was downloaded")


def _weights_listed(address: str, path: Path) -> list[str]:
    """Return the weights that a model.json lists; ModelError for other names than NAME.safetensors."""
    with model_errors(f"{address}: {MODEL_JSON}"):
        record = read_json(path)
    listed = record.get("sha256") if isinstance(record, dict) else None
    if not isinstance(listed, dict) or not listed:
        raise ModelError(
            "hub.not_a_model",
            f"'{address}' holds no model of gansmith: its {MODEL_JSON} lists no weights under 'sha256'"
            "\n  check the name, or ask the author of the model",
        )
    names = list(listed)
    wrong = [name for name in names if not WEIGHTS.fullmatch(name)]
    if wrong:
        raise ModelError(
            "hub.strange_file", f"'{address}': {MODEL_JSON} lists {wrong[0]!r}\n  allowed: NAME.safetensors beside it"
        )
    return names


def _download(
    hub: Any, address: str, repo: str, revision: str | None, names: list[str], sizes: dict[str, int | None]
) -> Path:
    """Return the folder of a commit in the cache, with these files."""
    with hub_errors(address):
        # The names hold no character that a pattern would read in another way.
        folder = Path(hub.snapshot_download(repo, revision=revision, allow_patterns=names, etag_timeout=TIMEOUT_SEC))
    for name in names:
        got = (folder / name).stat().st_size if (folder / name).is_file() else 0
        if got != sizes[name]:
            raise ModelError(
                "hub.altered",
                f"'{address}': {name} has {got:,} bytes, but the Hub says {sizes[name]:,}"
                f"\n  remove {_in_cache(folder)}, then try again",
            )
    return folder
