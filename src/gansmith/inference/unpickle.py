"""The child process that turns a .pth file into a .safetensors file, by a safe loader."""

# Run: python unpickle.py IN OUT BYTES SECONDS. This is the only place where a pickled file is opened. The loader runs
# no code of the file: it knows tensors, numbers, strings and containers. The limits end a file that asks for more
# memory or time than its size allows.

import json
import re
import sys
import warnings
from collections.abc import Mapping
from typing import Any

ORDER = "order"  # metadata: the names as the file has them, which .safetensors sorts
REFUSED = 3  # exit code: the reason is on stderr


def limit(memory_bytes: int, seconds: int) -> None:
    """Limit the memory and processor time of this process, where the system can."""
    try:
        import resource  # here: Windows has none
    except ModuleNotFoundError:
        return
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))


def tensors_in(value: Any, path: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the tensors in nested dictionaries; "/" joins the names of dictionaries before the tensor's own."""
    import torch  # here: after the limits

    if isinstance(value, torch.Tensor):
        return {"/".join(path): value}
    out: dict[str, Any] = {}
    for key, each in value.items() if isinstance(value, Mapping) else ():
        out |= tensors_in(each, (*path, str(key)))
    return out


def reason_of(problem: Exception) -> str:
    """Return why a file was refused, without the loader's advice to load it anyway."""
    text = str(problem)
    if isinstance(problem, MemoryError) or "allocate memory" in text:
        return "it needs more memory than its size allows"
    if found := re.search(r"GLOBAL ([\w.]+)", text):
        return f"it holds more than tensors, numbers and containers: {found[1]}"
    if type(problem).__name__ == "UnpicklingError":
        return "it holds more than tensors, numbers and containers"
    if "TorchScript" in text:
        return "it is a program of TorchScript, not a state dict"
    if isinstance(problem, EOFError | KeyError) or "PytorchStreamReader" in text:
        return "it is damaged, or no file of PyTorch"
    return f"{type(problem).__name__}: {text.partition(chr(10))[0]}"


def main(source: str, target: str, memory_bytes: str, seconds: str) -> int:
    """Write the tensors; return the exit code."""
    limit(int(memory_bytes), int(seconds))
    import torch
    from safetensors.torch import save_file

    warnings.simplefilter("ignore")  # stderr is for the reason
    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True)
        found = {name: each.detach().to_dense().clone().contiguous() for name, each in tensors_in(loaded).items()}
        save_file(found, target, {ORDER: json.dumps(list(found))})
    except Exception as problem:  # the loader raises many types for files that are broken or hostile
        print(reason_of(problem), file=sys.stderr)
        return REFUSED
    return 0


if __name__ == "__main__":
    raise SystemExit(main(*sys.argv[1:]))
