"""Text generation and log-likelihoods of a language model, in batches of similar length.

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
# Positions whose logits are held at once: 400 MB for a vocabulary of 50,000.
BATCH_TOKENS = 2_048


@dataclass(frozen=True)
class Generated:
    """Token ids of each prediction without its end token, and whether it had one."""

    ids: list[list[int]]
    finished: list[bool]


def generate(
    model: Any, prompts: Sequence[list[int]], pad: int, ends: Sequence[int], answer_tokens: int, num_beams: int = 1
) -> Generated:
    """Generate at most `answer_tokens` after each prompt, by greedy or beam search.

    The generation_config of the base, such as sampling, is ignored.
    """
    from transformers import GenerationConfig

    model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=answer_tokens,
        num_beams=num_beams,
        do_sample=False,
        eos_token_id=list(ends),
        pad_token_id=pad,
        # Padding, which is never a target, may still be likely; Marian's configuration forbids it too.
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
    """Sum the log-likelihoods of each encoded row's targets, in nats; shape (N,).

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
    """Return the first token of the decoder of an encoder-decoder, None for other models."""
    if not model.config.is_encoder_decoder:
        return None
    return int(model.prepare_decoder_input_ids_from_labels(labels=torch.zeros(1, 1, dtype=torch.long))[0, 0])


def _pad(prompts: list[list[int]], pad: int, is_left: bool) -> dict[str, torch.Tensor]:
    """Pad prompts: of a decoder on the left, since it continues at the right; of an encoder on the right."""
    ids_BT = torch.full((len(prompts), max(map(len, prompts))), pad)
    mask_BT = torch.zeros_like(ids_BT)
    for row, prompt in enumerate(prompts):
        place = slice(-len(prompt), None) if is_left else slice(len(prompt))
        ids_BT[row, place], mask_BT[row, place] = torch.tensor(prompt), 1
    return {"input_ids": ids_BT, "attention_mask": mask_BT}


def _length(ids: list[int], ends: set[int]) -> int:
    """Count the tokens before the first end token."""
    return next((place for place, token in enumerate(ids) if token in ends), len(ids))
