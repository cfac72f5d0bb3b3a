"""Dialogue and instruction tuning: a decoder learns the answer to a prompt, and where it ends.

Sources: Ouyang et al. 2022, arXiv:2203.02155 (tuning on demonstrations); Dettmers et al. 2023, arXiv:2305.14314,
appendix B (loss on the answer alone). Labels are shifted: the target of each position is the next token, -100 without
one and on padding, whose token may be the one that ends an answer. Legend of shapes: N rows.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from schemas.errors import RecipeError
from schemas.recipe.problem import CausalLM
from tasks.methods.bases.plain_text import without_special_tokens
from tasks.methods.bases.templates import refuse_unsteady, template_of
from tasks.methods.forms.turns import ANSWER, PROMPT, ROLES, find_invalid_turns, read_turns
from tasks.methods.problems.encoded import IGNORED, make_token_collator
from tasks.methods.problems.free_text import end_target, eos_of, free_text_methods, load_language_model, write_answers

# For a tokenizer without a template: a line with the role and a colon, then the text.
PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message.role.capitalize() }}:\n{{ message.content }}"
    "{{ eos_token if message.role == 'assistant' }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:\n{% endif %}"
)


def recognise(architecture: str, names: tuple[str, ...], config: dict[str, Any]) -> CausalLM | None:
    return CausalLM() if architecture.endswith(("ForCausalLM", "LMHeadModel")) else None


def find_invalid(text: Any, answer: Any, problem: CausalLM) -> str | None:
    return find_invalid_turns(text, answer)


def convert(text: Any, answer: Any, problem: CausalLM) -> tuple[Any, Any]:
    return read_turns(text, answer)


def encode_prompts(tokenizer: Any, texts: list[Any], problem: CausalLM) -> list[list[int]]:
    """Encode prompts with the tokenizer's chat template, up to the beginning of the answer.

    Long prompts lose their beginning, so that the longest answer fits.
    """
    room = problem.max_tokens - problem.answer_tokens
    return [ids[-room:] for ids in _whole_prompts(tokenizer, texts)]


def encode_rows(tokenizer: Any, rows: pd.DataFrame, problem: CausalLM) -> pd.DataFrame:
    """Encode each prompt with its answer; the last token of an answer is only a target."""
    end, room = end_of_answer(tokenizer), problem.max_tokens - problem.answer_tokens
    encoded = []
    answers = without_special_tokens(tokenizer, rows["label"])
    for prompt, answer in zip(_whole_prompts(tokenizer, list(rows["text"])), answers, strict=True):
        ids = tokenizer(answer, add_special_tokens=False)["input_ids"]
        target, is_cut = end_target(ids, end, problem.answer_tokens)
        encoded.append(join(prompt[-room:], target) | {"is_cut": is_cut or len(prompt) > room})
    return pd.DataFrame(encoded)


def join(prompt: list[int], target: list[int]) -> dict[str, list[int]]:
    return {"input_ids": [*prompt, *target[:-1]], "labels": [IGNORED] * (len(prompt) - 1) + target}


def keep_end(row: dict[str, Any], length: int) -> dict[str, Any]:
    """Shorten a row at its beginning, so that the answer is kept."""
    return {name: row[name][-length:] for name in ("input_ids", "labels")}


def end_of_answer(tokenizer: Any) -> int:
    """Return the token that ends an assistant's turn: the first special one after it in the template, or eos."""
    said = "answer"
    turns = [{"role": "user", "content": "question"}, {"role": "assistant", "content": said}]
    text = _render(tokenizer, turns, add_generation_prompt=False)
    if said not in text:
        raise RecipeError("model.base: its chat template leaves the assistant's answer out. Correct the template.")
    closing = tokenizer(text[text.rindex(said) + len(said) :], add_special_tokens=False)["input_ids"]
    special = {*tokenizer.all_special_ids}
    return next((int(token) for token in closing if token in special), eos_of(tokenizer))


def try_template(tokenizer: Any, config: Any) -> None:
    """Raise RecipeError for a chat template that does not write a conversation, or not the same each time."""
    refuse_unsteady(template_of(tokenizer, PLAIN_TEMPLATE))
    end_of_answer(tokenizer)
    _whole_prompts(tokenizer, ["question", ["question", "answer", "another question"]])


def load_model(folder: Path, problem: CausalLM, may_be_new: bool) -> Any:
    """Load a decoder with its language head. Raises RecipeError for a bidirectional model."""
    import torch
    from transformers import AutoModelForCausalLM

    model = load_language_model(AutoModelForCausalLM, folder, problem.max_tokens)
    with torch.inference_mode():
        one, two = (model(input_ids=torch.tensor([ids])).logits[0, 0] for ids in ([0], [0, 1]))
    if not torch.allclose(one, two, atol=1e-3):
        raise RecipeError(
            f"model.base is a {model.config.model_type} that is bidirectional, so it cannot generate text."
        )
    return model


def answer_rows(model: Any, tokenizer: Any, rows: pd.DataFrame, problem: CausalLM) -> pd.DataFrame:
    """Predict by greedy search; for rows with a label also its log_likelihood, in nats, and num_tokens."""
    from tasks.methods.problems.generation import log_likelihoods

    prompts, collate = encode_prompts(tokenizer, list(rows["text"]), problem), make_token_collator(tokenizer)
    ends = [end_of_answer(tokenizer), eos_of(tokenizer)]
    answers = write_answers(model, tokenizer, rows, prompts, ends, problem, join, collate)
    if "label" not in rows:
        return answers
    true = encode_rows(tokenizer, rows, problem).to_dict("records")
    counts = [sum(label != IGNORED for label in row["labels"]) for row in true]
    return answers.assign(log_likelihood=log_likelihoods(model, true, collate), num_tokens=counts)


def _whole_prompts(tokenizer: Any, texts: list[Any]) -> list[list[int]]:
    turns = [without_special_tokens(tokenizer, [text] if isinstance(text, str) else text) for text in texts]
    messages = [[{"role": ROLES[place % 2], "content": said} for place, said in enumerate(turn)] for turn in turns]
    written = [_render(tokenizer, message, add_generation_prompt=True) for message in messages]
    # A chat template of the tokenizer writes the special token at the beginning, if there is one.
    encoded = tokenizer(written, add_special_tokens=tokenizer.chat_template is None)
    return [list(ids) for ids in encoded["input_ids"]]


def _render(tokenizer: Any, messages: list[dict[str, str]], add_generation_prompt: bool) -> str:
    template = template_of(tokenizer, PLAIN_TEMPLATE)
    written: str = tokenizer.apply_chat_template(
        messages, chat_template=template, tokenize=False, add_generation_prompt=add_generation_prompt
    )
    return written


METHODS = free_text_methods(
    model_class="AutoModelForCausalLM",
    recognise=recognise,
    text_form=PROMPT,
    label_form=ANSWER,
    invalid=find_invalid,
    convert=convert,
    encode=encode_rows,
    load=load_model,
    collate=make_token_collator,
    answer=answer_rows,
    shorten=keep_end,
    try_tokenizer=try_template,
)
