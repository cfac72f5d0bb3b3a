"""Checkpoint format without pickle: conversion of the Trainer's pickled state to safetensors and JSON, and back.

The Trainer pickles optimizer, schedule and random states; pickles from storage must not be loaded. They are read only
in the process that wrote them, and on resumption written again from tensors and JSON.
"""

import json
from pathlib import Path
from typing import Any

STATE_FILES = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "scaler.pt")
TENSORS, TREE = "state.safetensors", "state.json"
PROGRESS = "trainer_state.json"
SAFE_SUFFIXES = (".json", ".safetensors")


def freeze(folder: Path) -> None:
    """Write `state.safetensors` and `state.json` beside the Trainer's state files in a checkpoint's folder."""
    import torch
    from safetensors.torch import save_file
    from transformers.trainer_pt_utils import safe_globals

    tensors: dict[str, torch.Tensor] = {}
    with safe_globals():  # type: ignore[no-untyped-call]
        found = {
            name: torch.load(folder / name, map_location="cpu", weights_only=True)
            for name in STATE_FILES
            if (folder / name).exists()
        }
    tree = _take_apart(found, tensors)
    save_file(tensors, folder / TENSORS)
    (folder / TREE).write_text(json.dumps(tree))


def thaw(folder: Path) -> None:
    """Write the Trainer's state files from `state.safetensors` and `state.json`, and relocate its best model."""
    import torch
    from safetensors.torch import load_file

    found = _put_together(json.loads((folder / TREE).read_text()), load_file(folder / TENSORS))
    for name in found.keys() & set(STATE_FILES):
        torch.save(found[name], folder / name)
    progress = json.loads((folder / PROGRESS).read_text())
    if progress["best_model_checkpoint"]:
        progress["best_model_checkpoint"] = str(folder.parent / Path(progress["best_model_checkpoint"]).name)
    (folder / PROGRESS).write_text(json.dumps(progress))


def snapshot_files(folder: Path, best: list[Path]) -> list[Path]:
    """List the files needed to resume from a frozen checkpoint: its safe files, and the best models so far."""
    safe = [path for path in sorted(folder.iterdir()) if path.suffix in SAFE_SUFFIXES]
    models = [path for other in best if other != folder for path in sorted(other.iterdir())]
    return safe + [
        path for path in models if path.suffix in SAFE_SUFFIXES and path.name not in (PROGRESS, TENSORS, TREE)
    ]


def _take_apart(value: Any, tensors: dict[str, Any]) -> Any:
    """Convert a tree to plain JSON; tensors and arrays go to `tensors`. Raises TypeError for other types."""
    import numpy as np
    import torch

    if isinstance(value, torch.Tensor | np.ndarray):
        name = str(len(tensors))
        tensors[name] = torch.as_tensor(value).contiguous().clone()
        return {"array" if isinstance(value, np.ndarray) else "tensor": name}
    if isinstance(value, dict):
        return {"dict": [[_take_apart(key, tensors), _take_apart(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_take_apart(item, tensors) for item in value]}
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a checkpoint's state holds a {type(value).__name__}, which has no plain form")


def _put_together(tree: Any, tensors: dict[str, Any]) -> Any:
    if not isinstance(tree, dict):
        return tree
    ((kind, content),) = tree.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "array":
        return tensors[content].numpy()
    if kind == "dict":
        return {_put_together(key, tensors): _put_together(item, tensors) for key, item in content}
    items = [_put_together(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
