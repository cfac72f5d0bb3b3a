"""Models with a head for a problem's labels, and the token that a decoder's head classifies.

Legend of shapes: B rows, T tokens, H width.

The classification heads of decoders (`score` in all of transformers 5) use the last id that is not padding. If
eos is the padding, as for GPT-2, they skip an eos of the text; with embeddings in place of ids, such as soft prompts,
they use the last position, even if it is padding. Here it is the last token of the text, whatever its id.
"""

from pathlib import Path
from typing import Any

from schemas.errors import RecipeError
from tasks.methods.bases.completeness import load_complete
from tasks.methods.bases.configuration import read_config
from tasks.methods.bases.label_rows import follow_names
from tasks.methods.problems.problem import TRAINED
from tasks.methods.rows import compose

TOKENS, PADDING, TOLERANCE = 3, 5, 1e-3


def load_with_head(model_class: Any, folder: Path, names: tuple[str, ...], may_be_new: bool, **settings: Any) -> Any:
    """Load a model in float32 with a head of `names`, by the given class of transformers.

    With `may_be_new` the rows of a head follow the names of their labels, and what is missing is initialised from
    torch's seed; otherwise a head that is missing or different is refused. `settings` are those of the configuration.
    """
    from transformers import AutoModelForSequenceClassification

    numbered = dict(enumerate(names))
    found = {number: compose(str(label)) for number, label in read_config(folder).id2label.items()}
    if not may_be_new and found != numbered:
        raise RecipeError(
            f"The model predicts the labels {', '.join(map(str, found.values()))}, but problem.labels is "
            f"{', '.join(names)}. A model can be gated on its own labels only: promote the new ones under "
            "another promotion.model."
        )
    config = config_with_head(folder, names, **settings)
    model, loading = load_complete(model_class, folder, config, may_be_new or (folder / TRAINED).exists())
    if may_be_new and found != numbered:
        follow_names(model, loading, folder, found)
    if model_class is AutoModelForSequenceClassification and "score" in dict(model.named_children()):
        model.base_model.register_forward_hook(_spread_last_token, with_kwargs=True)
    if may_be_new:
        _refuse_if_padding_counts(model)
    return model


def config_with_head(folder: Path, names: tuple[str, ...], **settings: Any) -> Any:
    config = read_config(folder, **settings)
    config.id2label = dict(enumerate(names))
    config.label2id = {label: number for number, label in enumerate(names)}
    return config


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
    # What is not finite is no matter of padding, and refused by name when training begins.
    if not torch.allclose(alone, padded[: len(alone)] if alone.ndim > 1 else padded, atol=TOLERANCE, equal_nan=True):
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
