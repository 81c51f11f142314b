"""Publish a model on the Hugging Face Hub."""

import tempfile
from pathlib import Path

from gansmith.core.errors import GansmithError
from gansmith.exporting.base import choose_format
from gansmith.inference.hub import PREFIX, REPO, hub_errors, hub_library
from gansmith.inference.model import Model
from gansmith.runs.folder import RunFolder, is_run


def push_to_hub(model: Model, repo: str, *, license: str = "", private: bool = False, token: str | None = None) -> str:
    """Publish a model as NAME/REPO; see ``Model.push_to_hub``."""
    if not REPO.fullmatch(repo) or ".." in repo:
        raise GansmithError("hub.address", f"'{repo}' is not the name of a repository on the Hub\n  write NAME/REPO")
    target = choose_format("hub-folder", {"license": license, "repo": repo})
    hub = hub_library()
    if hub.constants.HF_HUB_OFFLINE:
        raise GansmithError("hub.offline", f"cannot publish '{repo}': HF_HUB_OFFLINE is set\n  unset it")
    api = hub.HfApi(token=token)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "folder"
        run = RunFolder.open(model.origin.path) if model.origin is not None and is_run(model.origin.path) else None
        target.export(model, folder, raw=False, run=run)
        with hub_errors(f"{PREFIX}{repo}"):
            api.create_repo(repo, private=private, exist_ok=True)
            commit = api.upload_folder(repo_id=repo, folder_path=folder, commit_message="Model and card by gansmith")
    return f"{PREFIX}{repo}@{commit.oid}"
