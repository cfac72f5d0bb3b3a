"""A model with a head for a problem's labels: loading it, and which token a decoder's answer is read from.

Legend of shapes: B rows, T tokens, H width.

The classification heads of decoders (`score` in all of transformers 5) look for the last id that is not the pad's.
Where eos pads, as for GPT-2, they pass over an eos that belongs to the text; of vectors in place of ids, such as soft
prompts, they take the last place, padding or not. Here it is the last token of the text, whatever its id.
"""

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
    from transformers import AutoConfig, AutoModelForSequenceClassification

    numbered = dict(enumerate(names))
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if not may_be_new and config.id2label != numbered:
        raise RecipeError(
            f"The model answers with the labels {', '.join(map(str, config.id2label.values()))}, but problem.labels is "
            f"{', '.join(names)}. A model can be judged on its own labels only: promote the new ones under "
            "another promotion.model."
        )
    model = model_class.from_pretrained(
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
    if model_class is AutoModelForSequenceClassification and "score" in dict(model.named_children()):
        model.base_model.register_forward_hook(_spread_last_token, with_kwargs=True)
    if may_be_new:
        _refuse_if_padding_counts(model)
    return model


def _refuse_if_padding_counts(model: Any) -> None:
    """Raise RecipeError for an architecture that sees what the mask hides."""
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


def _spread_last_token(decoder: Any, arguments: Any, named: dict[str, Any], output: Any) -> Any:
    """Put the state of each row's last token in every place, so that the head finds no other."""
    import torch

    hidden_BTH = output.last_hidden_state
    num_rows, num_tokens, _ = hidden_BTH.shape
    # A prefix that only the attention sees comes before the tokens.
    mask_BT = named["attention_mask"][:, -num_tokens:]
    last_B = (mask_BT * torch.arange(num_tokens, device=mask_BT.device)).argmax(dim=1)
    last_BH = hidden_BTH[torch.arange(num_rows, device=mask_BT.device), last_B]
    output.last_hidden_state = last_BH[:, None].expand_as(hidden_BTH)
    return output
