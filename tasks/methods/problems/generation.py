"""Texts that a language model writes, and how likely it finds a text; in batches of similar length.

Legend of shapes: B rows, T tokens, I tokens with a target, V vocabulary.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from tasks.methods.problems.encoded import IGNORED, Collate, cut
from tasks.methods.problems.inference import refuse_infinite

BATCH_ROWS = 16
# Positions whose logits are held at once: 400 MB for 50,000 words.
BATCH_TOKENS = 2_048


@dataclass(frozen=True)
class Generated:
    """Token ids of each answer without what ended it, and whether something did."""

    ids: list[list[int]]
    finished: list[bool]


def generate(
    model: Any, prompts: Sequence[list[int]], pad: int, ends: Sequence[int], answer_tokens: int, num_beams: int = 1
) -> Generated:
    """Write an answer of at most `answer_tokens` to each prompt, the likeliest by greedy or beam search.

    What the base's own generation_config says, of sampling for one, has no part in it.
    """
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=answer_tokens,
        num_beams=num_beams,
        do_sample=False,
        eos_token_id=list(ends),
        pad_token_id=pad,
        # A model that learns no padding may still find it likely; Marian's own configuration forbids it too.
        suppress_tokens=None if pad in ends else [pad],
        decoder_start_token_id=_first_token(model),
    )
    answers: dict[int, list[int]] = {}
    order = sorted(range(len(prompts)), key=lambda number: len(prompts[number]))
    with torch.inference_mode():
        for start in range(0, len(order), BATCH_ROWS):
            chosen = order[start : start + BATCH_ROWS]
            batch = _pad([prompts[number] for number in chosen], pad, not model.config.is_encoder_decoder)
            begin = 1 if model.config.is_encoder_decoder else batch["input_ids"].shape[1]
            written = model.generate(**{name: values.to(model.device) for name, values in batch.items()})
            answers |= dict(zip(chosen, written[:, begin:].tolist(), strict=True))
    lengths = [_length(answers[number], set(ends)) for number in range(len(prompts))]
    ids = [answers[number][:length] for number, length in enumerate(lengths)]
    return Generated(ids, [length < len(answers[number]) for number, length in enumerate(lengths)])


def log_likelihoods(model: Any, rows: list[dict[str, Any]], collate: Collate) -> np.ndarray:
    """Sum of the log-likelihoods of each encoded row's targets, in nats; shape (N,).

    Raises TrainingError when one is not finite.
    """
    found = np.zeros(len(rows))
    numbered = [row | {"number": number} for number, row in enumerate(rows)]
    with torch.inference_mode():
        for chosen in cut(numbered, BATCH_TOKENS, lambda row: max(len(row["input_ids"]), len(row["labels"]))):
            batch = collate([{name: row[name] for name in ("input_ids", "labels")} for row in chosen])
            labels_BT = batch.pop("labels").to(model.device)
            logits_BTV = model(**{name: values.to(model.device) for name, values in batch.items()}).logits
            is_target_BT = labels_BT != IGNORED
            losses_I = functional.cross_entropy(
                logits_BTV[is_target_BT].float(), labels_BT[is_target_BT], reduction="none"
            )
            losses_BT = torch.zeros(labels_BT.shape, device=model.device).masked_scatter(is_target_BT, losses_I)
            found[[row["number"] for row in chosen]] = -losses_BT.double().sum(dim=1).cpu().numpy()
    refuse_infinite([found])
    return found


def _first_token(model: Any) -> int | None:
    """What a decoder beside an encoder begins with, by the model's own shift of targets."""
    if not model.config.is_encoder_decoder:
        return None
    return int(model.prepare_decoder_input_ids_from_labels(labels=torch.zeros(1, 1, dtype=torch.long))[0, 0])


def _pad(prompts: list[list[int]], pad: int, is_left: bool) -> dict[str, torch.Tensor]:
    """A decoder goes on from the right, so it is padded on the left; an encoder counts positions from the left."""
    ids_BT = torch.full((len(prompts), max(map(len, prompts))), pad)
    mask_BT = torch.zeros_like(ids_BT)
    for row, prompt in enumerate(prompts):
        place = slice(-len(prompt), None) if is_left else slice(len(prompt))
        ids_BT[row, place], mask_BT[row, place] = torch.tensor(prompt), 1
    return {"input_ids": ids_BT, "attention_mask": mask_BT}


def _length(ids: list[int], ends: set[int]) -> int:
    """Tokens before the first that ends a text."""
    return next((place for place, token in enumerate(ids) if token in ends), len(ids))
