"""Format ``html``: the page Explore with a generator in it, as one file for a browser."""

import json
import tempfile
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from gansmith.core.atomic_files import commit_file
from gansmith.core.errors import GansmithError, ModelError
from gansmith.core.one_file import MOST_BYTES, one_file, packed, static_files
from gansmith.exporting.base import Exported, FileFormat, formats
from gansmith.exporting.hub_folder import card_of
from gansmith.exporting.onnx import Onnx
from gansmith.inference.model import Model
from gansmith.inference.onnx_file import VERSION_DIGITS, digest_of, weights_key
from gansmith.methods.capabilities import upscales
from gansmith.runs.folder import RunFolder


@formats.register("html")
class Html(FileFormat):
    """One page with the model, onnxruntime-web and the model card in it; it needs no network and no Python.

    The images of its seeds are those of ``sample`` in onnxruntime. docs/studio.md shows what a person does with it.
    """

    ending: ClassVar[str] = ".html"
    weights: Literal["fp32", "fp16"] = Field("fp32", description="fp16: half the size of the model")

    def write(self, model: Model, name: str, target: Path, *, raw: bool, run: RunFolder | None) -> Exported:
        """Write the page of a generator; GansmithError if it would be larger than 64 MB."""
        if model.record.data.is_points:
            raise ModelError(
                "model.points", "format 'html' shows images, and this model makes points\n  use: gansmith sample"
            )
        if model.record.data.values is not None:
            raise ModelError(
                "export.needs_pictures",
                f"format 'html' shows 8-bit pictures, and this model makes {model.record.data.values.words}"
                "\n  write an ONNX file, which makes floats in these units: --to onnx; or show it: gansmith studio",
            )
        with tempfile.TemporaryDirectory() as temporary:
            onnx = Onnx(weights=self.weights).write(model, name, Path(temporary) / "model.onnx", raw=raw, run=run)
            content = onnx.path.read_bytes()
            keys = [digest_of(content)]  # of what `gansmith studio` draws from: an ONNX file, or a model folder
            if not raw:
                keys.insert(0, weights_key(model.model_json()))
        static = static_files()
        code = static.joinpath("vendor", "ort.js").read_bytes() + static.joinpath("onnx_worker.js").read_bytes()
        data: dict[str, bytes | str] = {
            "model": json.dumps(_facts(model, name, onnx, card_of(model, run), keys, raw=raw)),
            "wasm": static.joinpath("vendor", "ort.wasm.gz").read_bytes(),
            "weights": packed(content),
            "worker": packed(code),
        }
        page = one_file(f"{model.record.name} on {model.record.data.name}", "one_file.js", data)
        if len(page) > MOST_BYTES:
            smaller = "" if self.weights == "fp16" else "--weights fp16 halves the model, or "
            raise GansmithError(
                "export.too_large",
                f"'{target}' would have {len(page) / 1e6:.0f} MB; allowed: up to {MOST_BYTES / 1e6:.0f} MB"
                f"\n  {smaller}show the model with: gansmith studio",
            )
        commit_file(target, lambda at: at.write_bytes(page))
        facts = {**onnx.facts, "bytes": len(page), "model_bytes": len(content)}
        del facts["directions"]
        return Exported(target, name, facts, f"{len(page) / 1e6:.1f} MB, {onnx.words}")


def _facts(model: Model, name: str, onnx: Exported, card: str, keys: list[str], *, raw: bool) -> dict[str, Any]:
    """Return what the page has to know of a model."""
    record, data = model.record, model.record.data
    facts: dict[str, Any] = {
        "id": record.name, "name": f"{record.name} on {data.name}", "recipe": record.name,
        "method": "upscaler" if upscales(model.method) else "translator",
        "size": [data.height, data.width], "channels": data.channels, "classes": None, "kimg": record.kimg,
        "generator": name, "raw": raw, "card": card, "multiple": onnx.facts["multiple"], "scale": onnx.facts["scale"],
        "version": keys[0][:VERSION_DIGITS], "versions": [key[:VERSION_DIGITS] for key in keys],
    }  # fmt: skip
    if record.method.kind == "latent":
        method = model.latent_method("export")
        facts["method"] = "latent"
        facts["latent_dim"] = method.config.latent_dim
        facts["classes"] = list(data.classes) if method.num_classes else None
        facts["mixes_labels"] = onnx.facts["mixes_labels"]
        facts["directions"] = [{"vector": vector} for vector in onnx.facts["directions"]]
    return facts
