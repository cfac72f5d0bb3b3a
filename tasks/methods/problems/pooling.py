"""Which token a decoder's answer is read from: the last one of its text, whatever its id.

Legend of shapes: B rows, T tokens, H width.

The classification heads of decoders (`score` in all of transformers 5) look for the last id that is not the pad's.
Where eos pads, as for GPT-2, they pass over an eos that belongs to the text; of vectors in place of ids, such as soft
prompts, they take the last place, padding or not.
"""

from typing import Any

import torch


def pool_last_token(model: Any) -> Any:
    """Let a decoder answer from the last token of the attention mask; other models answer as they did."""
    if "score" in dict(model.named_children()):
        model.base_model.register_forward_hook(_spread_last_token, with_kwargs=True)
    return model


def _spread_last_token(decoder: Any, arguments: Any, named: dict[str, Any], output: Any) -> Any:
    """Put the state of each row's last token in every place, so that the head finds no other."""
    hidden_BTH = output.last_hidden_state
    num_rows, num_tokens, _ = hidden_BTH.shape
    # A prefix that only the attention sees comes before the tokens.
    mask_BT = named["attention_mask"][:, -num_tokens:]
    last_B = (mask_BT * torch.arange(num_tokens, device=mask_BT.device)).argmax(dim=1)
    last_BH = hidden_BTH[torch.arange(num_rows, device=mask_BT.device), last_B]
    output.last_hidden_state = last_BH[:, None].expand_as(hidden_BTH)
    return output
