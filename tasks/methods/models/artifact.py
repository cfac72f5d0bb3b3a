"""A model's folder: all weights, or the weights of the base and the few trained ones (a small artefact).

config.json, tokenizer files          of the model
model.safetensors, or its shards      all weights; in a small artefact those of the base, byte for byte, so that the
                                      store keeps them once for all versions
trained.safetensors, tuning.json      in a small artefact: the trained weights by name, and their tuning method
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from schemas.errors import TrainingError
from schemas.recipe.tuning import Tuning
from tasks.methods.problems.problem import TRAINED, ProblemMethods
from tasks.methods.tuners.table import TUNERS

TUNING = "tuning.json"
WEIGHTS = ("model*.safetensors", "model.safetensors.index.json")


def save_model(model: Any, pretrained: Path, tuning: Tuning, folder: Path) -> None:
    """Write a model trained from the one in `pretrained`, without its tokenizer."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    whole = TUNERS[tuning.kind].whole(tuning, model)
    if whole is None:
        _save_part(model, pretrained, tuning, folder)
        return
    whole.save_pretrained(folder)
    for path in folder.iterdir():
        if not any(path.match(pattern) for pattern in ("config.json", *WEIGHTS)):
            path.unlink()


def load_model(folder: Path, problem: Any, methods: ProblemMethods) -> Any:
    """Load a folder of `save_model`. Raises RecipeError for other labels, TrainingError for other weights."""
    if (folder / TRAINED).exists() and not (folder / TUNING).exists():
        raise TrainingError(
            f"{folder}: it holds {TRAINED} without {TUNING}, which names the weights' places. Copy both."
        )
    model = methods.load(folder, problem, False)
    if (folder / TUNING).exists():
        tuning: Tuning = TypeAdapter(Tuning).validate_json((folder / TUNING).read_bytes())
        load_trained(TUNERS[tuning.kind].mark(tuning, model), folder)
    return model


def count_parameters(model: Any) -> tuple[int, int]:
    return sum(weight.numel() for weight in trained_weights(model).values()), sum(map(torch.numel, model.parameters()))


def trained_weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach() for name, weight in model.named_parameters() if weight.requires_grad}


def save_trained(model: Any, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: weight.contiguous().cpu() for name, weight in trained_weights(model).items()}
    save_file(weights, folder / TRAINED)


def load_trained(model: Any, folder: Path) -> None:
    """Load the trained weights of a folder into a model. Raises TrainingError unless the model trains exactly these."""
    try:
        found = load_file(folder / TRAINED)
    except (OSError, SafetensorError) as error:
        raise TrainingError(f"{folder / TRAINED} cannot be read: {error}. Train the model again.") from None
    weights = trained_weights(model)
    ours, theirs = ({(name, weight.shape) for name, weight in part.items()} for part in (weights, found))
    wrong = {name for name, _ in ours ^ theirs}
    if wrong:
        raise TrainingError(
            f"{folder / TRAINED}: {len(wrong)} weights do not match those that the tuning trains, such as "
            f"{', '.join(sorted(wrong)[:5])}. The files do not belong together: train the model again."
        )
    for name, weight in weights.items():
        weight.copy_(found[name])


def _save_part(model: Any, pretrained: Path, tuning: Tuning, folder: Path) -> None:
    # The architecture identifies the kind of problem.
    model.config.architectures = [type(model).__name__]
    model.config.save_pretrained(folder)
    for pattern in WEIGHTS:
        for path in pretrained.glob(pattern):
            shutil.copyfile(path, folder / path.name)
    save_trained(model, folder)
    (folder / TUNING).write_text(tuning.model_dump_json(), encoding="utf-8")
