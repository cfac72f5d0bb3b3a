"""Models with a head for a problem's labels, and the token that a decoder's head classifies.

Legend of shapes: B rows, T tokens, H width.

The classification heads of decoders (`score` in all of transformers 5) use the last id that is not padding. If
eos is the padding, as for GPT-2, they skip an eos of the text; with embeddings in place of ids, such as soft prompts,
they use the last position, even if it is padding. Here it is the last token of the text, whatever its id.
"""

from pathlib import Path
from typing import Any

from schemas.errors import RecipeError
from tasks.methods.problems.problem import TRAINED

TOKENS, PADDING, TOLERANCE = 3, 5, 1e-3


def load_with_head(model_class: Any, folder: Path, names: tuple[str, ...], may_be_new: bool, **settings: Any) -> Any:
    """Load a model in float32 with a head of `names`, by the given class of transformers.

    With `may_be_new` a missing or different head is initialised from torch's seed; otherwise it is refused.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    numbered = dict(enumerate(names))
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    if not may_be_new and config.id2label != numbered:
        raise RecipeError(
            f"The model predicts the labels {', '.join(map(str, config.id2label.values()))}, but problem.labels is "
            f"{', '.join(names)}. A model can be gated on its own labels only: promote the new ones under "
            "another promotion.model."
        )
    model = model_class.from_pretrained(
        folder,
        num_labels=len(names),
        id2label=numbered,
        label2id={label: number for number, label in numbered.items()},
        # The default is the type of the checkpoint, often bfloat16.
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
    """Raise RecipeError for an architecture whose output depends on masked positions."""
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
            f"model.base is a {model.config.model_type}, whose prediction for a text depends on its padding, so "
            "batches would change predictions. Choose another model.base."
        )


def _spread_last_token(decoder: Any, arguments: Any, named: dict[str, Any], output: Any) -> Any:
    """Copy the state of each row's last token to every position, so that the head uses it."""
    import torch

    hidden_BTH = output.last_hidden_state
    num_rows, num_tokens, _ = hidden_BTH.shape
    # The mask of a prefix, which only the attention sees, comes first.
    mask_BT = named["attention_mask"][:, -num_tokens:]
    last_B = (mask_BT * torch.arange(num_tokens, device=mask_BT.device)).argmax(dim=1)
    last_BH = hidden_BTH[torch.arange(num_rows, device=mask_BT.device), last_B]
    output.last_hidden_state = last_BH[:, None].expand_as(hidden_BTH)
    return output
