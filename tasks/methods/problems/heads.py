"""Loading a model with a head for a problem's labels."""

from pathlib import Path
from typing import Any

from schemas.errors import RecipeError
from tasks.methods.problems.problem import TRAINED

TOKENS, PADDING, TOLERANCE = 3, 5, 1e-3


def load_with_head(model_class: Any, folder: Path, names: tuple[str, ...], may_be_new: bool, **settings: Any) -> Any:
    """Load weights in float32 with a head of `names`, by the given class of transformers.

    With `may_be_new` a missing or different head is initialised from torch's seed; without it, it is refused.
    """
    import torch
    from transformers import AutoConfig

    numbered = dict(enumerate(names))
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if not may_be_new and config.id2label != numbered:
        raise RecipeError(
            f"The model answers with the labels {', '.join(map(str, config.id2label.values()))}, but problem.labels is "
            f"{', '.join(names)}. A model can be judged on its own labels only: promote the new ones under "
            "another promotion.model."
        )
    return model_class.from_pretrained(
        folder,
        num_labels=len(names),
        id2label=numbered,
        label2id={label: number for number, label in numbered.items()},
        # Without it weights stay in the checkpoint's own type, bfloat16 for many.
        dtype=torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        ignore_mismatched_sizes=may_be_new or (folder / TRAINED).exists(),
        **settings,
    )


def refuse_if_padding_counts(model: Any) -> Any:
    """Give the model, asked the same tokens alone and padded.

    Raises RecipeError for an architecture that sees what the mask hides.
    """
    import torch

    alone_1T = torch.arange(1, TOKENS + 1)[None]
    padded_1T = torch.nn.functional.pad(alone_1T, (0, PADDING), value=model.config.pad_token_id or 0)
    with torch.inference_mode():
        alone, padded = (
            model(input_ids=ids_1T, attention_mask=(torch.arange(ids_1T.shape[1]) < TOKENS).long()[None]).logits[0]
            for ids_1T in (alone_1T, padded_1T)
        )
    if not torch.allclose(alone, padded[: len(alone)] if alone.ndim > 1 else padded, atol=TOLERANCE):
        raise RecipeError(
            f"model.base is a {model.config.model_type}, whose answer to a text changes with the padding beside it: a "
            "batch would not answer as one text alone does. Choose another model.base."
        )
    return model
