"""The recipe: what is read, overridden and refused. Alone: pytest tests/schemas/recipe/test_recipe.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from schemas.errors import RecipeError
from schemas.frozen import canonical_json, digest_of
from schemas.recipe.loading import load_methods, load_recipe
from schemas.recipe.promotion import Promotion
from schemas.recipe.recipe import Recipe
from schemas.recipe.tuning import BottleneckAdapters, FullTuning, LoRA, PrefixTuning, PromptTuning, TopLayers, Tuning
from schemas.records.request import JudgeRequest, RetrainRequest

RECIPES = sorted(Path("recipes").glob("*/*.yaml"))


@pytest.mark.parametrize("path", RECIPES, ids=str)
def test_shipped_recipe_is_valid_and_opens_with_its_command(path: Path):
    load_recipe(path)

    head = path.read_text().splitlines()[:3]
    assert all(line.startswith("# ") for line in head)
    assert f"tunegate run {path}" in head[2]


def test_override_is_parsed_as_yaml_and_reaches_lists(make_recipe):
    recipe = load_recipe(
        make_recipe(), ("training.learning_rate=3e-5", "augmentation.0.fraction=0.5", "tracking.project=other")
    )

    assert recipe.training.learning_rate == 3e-5
    assert recipe.augmentation[0].fraction == 0.5
    assert recipe.tracking.project == "other"


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("tuning={kind: lora, rank: 4, targets: attention}", LoRA(rank=4, targets="attention")),
        ("tuning={kind: adapter, layout: houlsby}", BottleneckAdapters(layout="houlsby")),
        ("tuning={kind: prefix, num_tokens: 3}", PrefixTuning(num_tokens=3)),
        ("tuning.kind=prompt", PromptTuning()),
        ("tuning.kind=top", TopLayers()),
        ("tuning.kind=full", FullTuning()),
    ],
)
def test_kind_of_tuning_chooses_its_fields(make_recipe, override: str, expected: Tuning):
    assert load_recipe(make_recipe(), (override,)).tuning == expected


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("training.epochz=3", "training.epochz is not a field; the fields there are epochs, batch_size"),
        ("training.epochs=0", "training.epochs is 0; Input should be greater than or equal to 1"),
        ("training.epochs=many", "training.epochs is 'many'; Input should be a valid integer"),
        ("training.schedule=zigzag", "training.schedule is 'zigzag'; Input should be 'linear', 'cosine' or 'constant'"),
        ("training.learning_rate=true", "training.learning_rate is True; expected a number, not a switch"),
        ("tuning.kind=lorra", "tuning.kind is 'lorra'; expected one of full, lora, adapter, prefix, prompt, top"),
        ("tuning={rank: 8}", "tuning has no kind; it is required."),
        ("tuning={kind: lora, rang: 8}", "tuning.rang is not a field; the fields there are kind, rank, alpha, dropout"),
        ("tuning={kind: prefix, rank: 8}", "tuning.rank is not a field; the fields there are kind, num_tokens."),
        ("tuning={kind: lora, rank: 0}", "tuning.rank is 0; Input should be greater than or equal to 1"),
        ("tuning={kind: adapter, layout: big}", "tuning.layout is 'big'; Input should be 'houlsby' or 'pfeiffer'"),
        ("problem.labels=[a, a]", "every label must be named once"),
        ("data.train.path=/data/x.csv", "an absolute path works on one machine only"),
        ("data.train.path=x.xlsx", "expected .csv, .jsonl or .parquet"),
        ("model.base=/models/bert", "an absolute path works on one machine only"),
        ("promotion.model=../x", "promotion.model is '../x'"),
        ("promotion.model=a b", "promotion.model is 'a b'"),
        ("promotion.model=''", "promotion.model is ''"),
        ("gate.required_gain=0.1", "give exactly one of non_inferiority_margin and required_gain"),
        ("model.revision=abc", "has no revision: leave revision out, or set it to null"),
        ("training.micro_batch_tokens=true", "training.micro_batch_tokens is True; expected a number, not a switch"),
        ("training.seeds=[yes]", "training.seeds.0 is True; Input should be a valid integer"),
        ("problem={kind: token-classification, labels: [Ort, ort], tags: lower-case}", "tag 'i-ort' has two meanings"),
        ("problem={kind: token-classification, labels: [O, Ort], tags: io}", "tag 'O' has two meanings"),
        ("problem={kind: token-classification, labels: [creative work]}", "has a blank; write 'creative-work'"),
        (
            "problem={kind: token-classification, labels: [tool], max_tokens: 48}",
            "problem.overlap_tokens is 32; expected at most half of max_tokens 48 (32 is the default of overlap_tokens). "
            "Set overlap_tokens to at most 24, or raise max_tokens.",
        ),
        (
            "problem={kind: causal-lm, max_tokens: 100}",
            "problem.max_tokens is 100; expected more than answer_tokens 128 (128 is its default)",
        ),
        (
            "problem={kind: causal-lm, answer_tokens: 600}",
            "problem.max_tokens is 512; expected more than answer_tokens 600",
        ),
        ("training.epochs", "expected field=value"),
        ("name.x=1", "which has no fields"),
        ("augmentation.7.fraction=1", "'7' is not one of the positions 0 to 0"),
    ],
)
def test_wrong_value_is_refused_with_field_found_and_allowed(make_recipe, override: str, expected: str):
    path = make_recipe()

    with pytest.raises(RecipeError) as caught:
        load_recipe(path, (override,))

    assert expected in str(caught.value)
    assert str(path) in str(caught.value) or "--set" in str(caught.value)


def test_every_wrong_field_is_named_at_once(make_recipe):
    with pytest.raises(RecipeError) as caught:
        load_recipe(make_recipe(), ("training.epochs=0", "gate.at_least=2", "nme=x"))

    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ("[yes, maybe]", ['problem.labels.0: yes is a switch in YAML, not a text: write "yes" in quotes.']),
        ("[late, Off]", ['problem.labels.1: Off is a switch in YAML, not a text: write "Off" in quotes.']),
        ("[7, eight]", ['problem.labels.0: 7 is a number in YAML, not a text: write "7" in quotes.']),
        ("[a, 4.50]", ['problem.labels.1: 4.50 is a number in YAML, not a text: write "4.50" in quotes.']),
        ("[a, null]", ['problem.labels.1: null is nothing in YAML, not a text: write "null" in quotes.']),
        ("[a, [b]]", ["problem.labels.1 is ['b']; Input should be a valid string."]),
        ("late", ["problem.labels is 'late'; expected a list, such as [a, b]."]),
    ],
)
def test_label_that_is_no_text_is_one_line_with_its_spelling(make_recipe, labels: str, expected: list[str]):
    """Neither does the number of labels that are left count as a second fault."""
    path = make_recipe(problem={"kind": "text-classification", "labels": "HERE"})
    text = path.read_text().replace("HERE", labels)
    path.write_text(text)
    line = next(number for number, one in enumerate(text.splitlines(), 1) if labels in one)

    with pytest.raises(RecipeError) as caught:
        load_recipe(path)

    assert str(caught.value).splitlines() == [f"{path}, line {line}: {sentence}" for sentence in expected]


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["training.epoch=3"], "Did you mean epochs?"),
        (["training.Batch-Size=3"], "Did you mean batch_size?"),
        (["trainnig={epochs: 3}"], "Did you mean training?"),
        (["tuning={kind: lora, ranks: 3}"], "Did you mean rank?"),
        (["gate={at_leest: 0.5, required_gain: 0.1}"], "Did you mean at_least?"),
        (["problem={kind: text-classification, classes: [a, b]}"], "Did you mean labels?"),
        (["data.test={path: a.csv, text: text, target: tag}"], "Did you mean label?"),
        (["data.train.text=yes"], 'data.train.text: yes is a switch in YAML, not a text: write "yes" in quotes.'),
        (["data.train.path=2024"], 'data.train.path: 2024 is a number in YAML, not a text: write "2024" in quotes.'),
        (["gate.against=no"], 'gate.against: no is a switch in YAML, not a text: write "no" in quotes.'),
        (["name="], "name: nothing is written, a text is expected."),
        (["gate=0.5"], "gate is 0.5; expected fields, such as {name: value}."),
        (["tuning.kind=on"], "tuning.kind is 'on'; expected one of full, lora"),
        (["gate.budgets={size: inf}"], "gate.budgets.size is 'inf'; Input should be a finite number"),
        (["gate.at_least=-inf"], "gate.at_least is '-inf'; Input should be a finite number"),
    ],
)
def test_one_fault_is_one_line_with_what_to_write(make_recipe, overrides: list[str], expected: str):
    with pytest.raises(RecipeError) as caught:
        load_recipe(make_recipe(), tuple(overrides))

    assert len(str(caught.value).splitlines()) == 1
    assert expected in str(caught.value)


def test_field_that_is_like_no_other_gets_no_guess(make_recipe):
    with pytest.raises(RecipeError, match="zzz is not a field; .*tracking.$"):
        load_recipe(make_recipe(), ("zzz=1",))


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("augmentation.\N{SUPERSCRIPT TWO}.fraction=1", "is not one of the positions 0 to 0"),
        ("augmentation." + "9" * 5000 + ".fraction=1", "is not one of the positions 0 to 0"),
        ("problem" + ".a" * 5000 + "=1", "no field is nested more than 20 deep"),
        ("tuning={kind: lora, rank: 2, rank: 9}", "rank is there twice"),
        ("tuning=*lora", "is an alias"),
        ("training.epochs=[1", "is not a readable YAML file"),
    ],
)
def test_override_that_cannot_be_meant_is_refused(make_recipe, override: str, expected: str):
    with pytest.raises(RecipeError) as caught:
        load_recipe(make_recipe(), (override,))

    assert str(caught.value).startswith("--set ")
    assert expected in str(caught.value)
    assert len(str(caught.value)) < 300


def test_many_faults_are_shown_in_part(make_recipe):
    with pytest.raises(RecipeError) as caught:
        load_recipe(make_recipe(), (f"problem.labels={list(range(30))}",))

    assert len(str(caught.value).splitlines()) == 21
    assert str(caught.value).endswith("10 more faults are not shown.")


def test_recipe_that_has_a_gate_twice_is_refused_with_both_lines(make_recipe):
    path = make_recipe()
    text = path.read_text()
    path.write_text(f"{text}gate: {{at_least: 0, required_gain: 0}}\n")
    first = next(number for number, line in enumerate(text.splitlines(), 1) if line.startswith("gate:"))

    with pytest.raises(RecipeError, match=rf", line {len(text.splitlines()) + 1}: gate is there twice.* line {first};"):
        load_recipe(path)


def test_recipe_may_begin_with_a_byte_order_mark_and_need_not_end(make_recipe, tmp_path: Path):
    path = make_recipe()
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())

    assert load_recipe(path).name
    with pytest.raises(RecipeError, match="larger than 1,000,000 bytes"):
        load_recipe(Path("/dev/zero"))


def test_every_integer_has_a_bound_that_the_server_can_store():
    """Prefect's server answers no list of runs any more after a parameter of more than 64 bits."""
    schemas = [kind.model_json_schema() for kind in (Recipe, RetrainRequest, JudgeRequest)]
    parts = [part for schema in schemas for part in _parts(schema) if part.get("type") == "integer"]

    assert len(parts) > 20
    assert [part for part in parts if part.get("maximum", part.get("exclusiveMaximum", 2**64)) > 2**53] == []


def _parts(schema: object) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
    for inner in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
        yield from _parts(inner)


def test_missing_field_and_unreadable_files_are_refused(tmp_path: Path):
    (tmp_path / "empty.yaml").write_text("")
    (tmp_path / "broken.yaml").write_text("name: [")
    (tmp_path / "part.yaml").write_text("name: x")

    for name, expected in [
        ("none.yaml", "there is no such recipe"),
        ("empty.yaml", "expected a mapping"),
        ("broken.yaml", "not a readable YAML file"),
        ("part.yaml", "problem is missing; it is required"),
    ]:
        with pytest.raises(RecipeError, match=expected):
            load_recipe(tmp_path / name)


def test_method_of_another_recipe_learns_the_rows_of_this_one(make_recipe):
    path, other = make_recipe(), make_recipe("other-name", tuning={"kind": "lora", "rank": 2})
    recipe = load_recipe(path, ("training.epochs=3",))
    found = load_methods(recipe, path, ["full", f" {other}"], ("training.epochs=3",))

    assert list(found) == ["full", other.stem]
    assert found["full"] == recipe
    assert found[other.stem] == recipe.model_copy(update={"tuning": LoRA(rank=2)})


@pytest.mark.parametrize("name", ["lora} #/../x", "Full", "../My Recipe.yaml"])
def test_method_that_is_no_plain_name_is_refused(make_recipe, name: str):
    path = make_recipe()

    with pytest.raises(RecipeError, match="expected a kind of tuning or a recipe"):
        load_methods(load_recipe(path), path, [name], ())


def test_recipe_is_frozen_and_survives_json(make_recipe):
    recipe = load_recipe(make_recipe())

    with pytest.raises(ValidationError):
        recipe.name = "other"
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe


def test_every_field_has_a_description():
    schema = Recipe.model_json_schema()
    definitions = {"Recipe": schema, **schema["$defs"]}
    missing = [
        f"{owner}.{name}"
        for owner, definition in definitions.items()
        for name, field in definition["properties"].items()
        if "description" not in field and "const" not in field
    ]

    assert missing == []


@given(st.text(max_size=70))
def test_accepted_name_is_a_safe_key(name: str):
    try:
        Promotion(model=name)
    except ValidationError:
        return

    assert name == name.lower()
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyz0123456789.-_")
    assert name[0].isalnum()
    assert name[-1].isalnum()


def test_canonical_json_ignores_order_and_refuses_nan():
    assert canonical_json({"b": 1, "a": "é"}) == '{"a":"é","b":1}'.encode()
    assert digest_of({"a": 1, "b": 2}) == digest_of({"b": 2, "a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        canonical_json({"a": float("nan")})
