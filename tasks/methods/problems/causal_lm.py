"""Dialogue and instruction tuning: a decoder learns the answer to a prompt, and to end it.

Sources: Ouyang et al. 2022, arXiv:2203.02155 (tuning on demonstrations); Dettmers et al. 2023, arXiv:2305.14314,
appendix B (loss on the answer alone). A target stands where the token before it does, so that logits and labels are
paired place by place. Where there is none the label is -100, by position: padding may well be the token that ends an
answer. Legend of shapes: N rows.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from schemas.errors import RecipeError
from schemas.recipe.problem import CausalLM
from tasks.methods.problems.encoded import IGNORED
from tasks.methods.problems.free_text import end_target, eos_of, free_text_methods, load_language_model, write_answers
from tasks.methods.problems.token_classification import make_collator

ROLES = ("user", "assistant")
# For a tokenizer that has no template: a role and a colon on a line of their own, then the text.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message.role.capitalize() }}:\n{{ message.content }}"
    "{{ eos_token if message.role == 'assistant' }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:\n{% endif %}"
)


def recognise(architecture: str, names: tuple[str, ...], config: dict[str, Any]) -> CausalLM | None:
    return CausalLM() if architecture.endswith(("ForCausalLM", "LMHeadModel")) else None


def find_invalid(text: Any, answer: Any, problem: CausalLM) -> str | None:
    if not isinstance(answer, str):
        return f"an answer that is a list of {len(answer)} (expected one text)"
    if not isinstance(text, str) and len(text) % 2 == 0:
        return f"{len(text)} turns (expected the user's and the assistant's in turn, the last one the user's)"
    return None


def encode_prompts(tokenizer: Any, texts: list[Any], problem: CausalLM) -> list[list[int]]:
    """Write prompts in the tokenizer's own template, up to where the answer begins; too long ones lose their beginning.

    The longest answer always has room after them.
    """
    room = problem.max_tokens - problem.answer_tokens
    return [ids[-room:] for ids in _whole_prompts(tokenizer, texts)]


def encode_rows(tokenizer: Any, rows: pd.DataFrame, problem: CausalLM) -> pd.DataFrame:
    """Put each answer after its prompt; the last token of an answer is a target only."""
    end, room = end_of_answer(tokenizer), problem.max_tokens - problem.answer_tokens
    encoded = []
    for prompt, answer in zip(_whole_prompts(tokenizer, list(rows["text"])), rows["label"], strict=True):
        ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
        target, is_cut = end_target(ids, end, problem.answer_tokens)
        encoded.append(join(prompt[-room:], target) | {"is_cut": is_cut or len(prompt) > room})
    return pd.DataFrame(encoded)


def join(prompt: list[int], target: list[int]) -> dict[str, list[int]]:
    return {"input_ids": [*prompt, *target[:-1]], "labels": [IGNORED] * (len(prompt) - 1) + target}


def keep_end(row: dict[str, Any], length: int) -> dict[str, Any]:
    """Shorten a row from its beginning: the answer stands at its end."""
    return {name: row[name][-length:] for name in ("input_ids", "labels")}


def end_of_answer(tokenizer: Any) -> int:
    """The token that closes an assistant's turn: the first special one after it in the template, or eos."""
    said = "answer"
    turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": said}]
    text = _render(tokenizer, turns, add_generation_prompt=False)
    closing = tokenizer(text[text.rindex(said) + len(said) :], add_special_tokens=False)["input_ids"]
    special = {*tokenizer.all_special_ids}
    return next((int(token) for token in closing if token in special), eos_of(tokenizer))


def load_model(folder: Path, problem: CausalLM, may_be_new: bool) -> Any:
    """Load a decoder with its language head. Raises RecipeError for a model that sees the tokens to come."""
    import torch
    from transformers import AutoModelForCausalLM

    model = load_language_model(AutoModelForCausalLM, folder, problem.max_tokens)
    with torch.inference_mode():
        one, two = (model(input_ids=torch.tensor([ids])).logits[0, 0] for ids in ([0], [0, 1]))
    if not torch.allclose(one, two, atol=1e-3):
        raise RecipeError(f"model.base is a {model.config.model_type} that reads both ways: it cannot go on a text.")
    return model


def answer_rows(model: Any, tokenizer: Any, rows: pd.DataFrame, problem: CausalLM) -> pd.DataFrame:
    """Answer by greedy search; where rows have a label, log_likelihood of it, in nats, and its num_tokens."""
    from tasks.methods.problems.generation import log_likelihoods

    prompts, collate = encode_prompts(tokenizer, list(rows["text"]), problem), make_collator(tokenizer)
    ends = [end_of_answer(tokenizer), eos_of(tokenizer)]
    answers = write_answers(model, tokenizer, rows, prompts, ends, problem, join, collate)
    if "label" not in rows:
        return answers
    true = encode_rows(tokenizer, rows, problem).to_dict("records")
    counts = [sum(label != IGNORED for label in row["labels"]) for row in true]
    return answers.assign(log_likelihood=log_likelihoods(model, true, collate), num_tokens=counts)


def _whole_prompts(tokenizer: Any, texts: list[Any]) -> list[list[int]]:
    turns = [[text] if isinstance(text, str) else list(text) for text in texts]
    messages = [[{"role": ROLES[place % 2], "content": said} for place, said in enumerate(turn)] for turn in turns]
    written = [_render(tokenizer, message, add_generation_prompt=True) for message in messages]
    # A template of the tokenizer's own writes the token that opens a text, where there is one.
    encoded = tokenizer(written, add_special_tokens=tokenizer.chat_template is None)
    return [list(ids) for ids in encoded["input_ids"]]


def _render(tokenizer: Any, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    template = tokenizer.chat_template or PLAIN_TEMPLATE
    written: str = tokenizer.apply_chat_template(
        messages, chat_template=template, tokenize=False, add_generation_prompt=add_generation_prompt
    )
    return written


METHODS = free_text_methods(
    recognise=recognise,
    invalid=find_invalid,
    encode=encode_rows,
    load=load_model,
    collate=make_collator,
    answer=answer_rows,
    shorten=keep_end,
)
