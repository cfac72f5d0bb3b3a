"""A model's logits for encoded rows, in batches of similar length."""

from typing import Any

import numpy as np
import pandas as pd
import torch

from schemas.errors import TrainingError
from tasks.methods.problems.encoded import Collate

BATCH_ROWS = 64


def logits_of(model: Any, encoded: pd.DataFrame, collate: Collate) -> list[np.ndarray]:
    """Compute the logits of each encoded row: (C,) of a model that labels rows, (T, C) of one that labels tokens.

    Raises ValueError without rows, TrainingError when a logit is not finite.
    """
    if encoded.empty:
        raise ValueError("there are no rows to predict")
    found: dict[int, np.ndarray] = {}
    # Batches of rows of similar length need little padding.
    order = np.argsort(encoded["input_ids"].str.len(), kind="stable")
    with torch.inference_mode():
        for start in range(0, len(order), BATCH_ROWS):
            chosen = order[start : start + BATCH_ROWS]
            batch = collate([{"input_ids": list(encoded["input_ids"].iloc[number])} for number in chosen])
            batch = {name: values.to(model.device) for name, values in batch.items()}
            logits = model(**batch).logits.float()
            masks = batch["attention_mask"].bool()
            rows = [row if row.ndim == 1 else row[mask] for row, mask in zip(logits, masks, strict=True)]
            found |= {int(number): row.cpu().numpy() for number, row in zip(chosen, rows, strict=True)}
    ordered = [found[number] for number in range(len(encoded))]
    refuse_infinite(ordered)
    return ordered


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities over the last axis; not SciPy's, with which each of its releases would train every model again."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def refuse_infinite(outputs: list[np.ndarray]) -> None:
    """Raise TrainingError when an output of a model is not finite."""
    if not all(np.isfinite(row).all() for row in outputs):
        raise TrainingError("The model's outputs are not finite: its weights are damaged. Train it again.")
