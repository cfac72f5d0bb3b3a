"""The rows that recipes ship: counts, columns, nothing shared between parts. Alone: pytest tests/test_shipped_rows.py."""

import json
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

PARTS = {
    "translation": {"train": 2000, "test": 300},
    "entities": {"train": 3394, "validation": 1009, "test": 1287},
    "dialogue": {"train": 140, "test": 35},
}
COLUMNS = {
    "translation": ["en", "zh"],
    "entities": ["tokens", "tags"],
    "dialogue": ["instruction", "input", "output"],
}
TYPES = ("corporation", "creative-work", "group", "location", "person", "product")


def read(recipe: str, part: str) -> list[dict[str, Any]]:
    lines = Path(f"recipes/{recipe}/data/{part}.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def fold(text: str) -> str:
    """What is left without case, spaces and punctuation."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", text).casefold() if letter.isalnum())


@pytest.mark.parametrize("recipe", PARTS)
def test_parts_have_the_rows_and_columns_that_the_readme_tells(recipe: str):
    readme = Path(f"recipes/{recipe}/README.md").read_text(encoding="utf-8")
    parts = {part: read(recipe, part) for part in PARTS[recipe]}

    assert {part: len(rows) for part, rows in parts.items()} == PARTS[recipe]
    assert all(list(row) == COLUMNS[recipe] for rows in parts.values() for row in rows)
    assert all(f"({count:,}" in readme for count in PARTS[recipe].values())


def test_every_part_on_disk_is_a_part_that_is_tested():
    found = {str(path) for path in Path("recipes").glob("*/data/*.jsonl")}

    assert found == {f"recipes/{recipe}/data/{part}.jsonl" for recipe in PARTS for part in PARTS[recipe]}


@pytest.mark.parametrize("side", ["en", "zh"])
def test_no_sentence_stands_twice_in_either_language(side: str):
    texts = [fold(row[side]) for part in PARTS["translation"] for row in read("translation", part)]

    assert all(texts)
    assert max(Counter(texts).values()) == 1


def test_sides_of_a_pair_are_english_and_chinese():
    for part in PARTS["translation"]:
        for row in read("translation", part):
            assert any("a" <= letter <= "z" for letter in row["en"].casefold()), row
            assert any("\u4e00" <= letter <= "\u9fff" for letter in row["zh"]), row


def test_no_text_with_entities_is_in_two_parts():
    texts = [{" ".join(row["tokens"]) for row in read("entities", part)} for part in PARTS["entities"]]

    assert len(set().union(*texts)) == sum(map(len, texts))


@pytest.mark.parametrize("part", PARTS["entities"])
def test_every_word_has_a_tag_and_an_inside_follows_its_own_type(part: str):
    allowed = {"O", *(f"{place}-{kind}" for place in "BI" for kind in TYPES)}
    for row in read("entities", part):
        assert len(row["tokens"]) == len(row["tags"]) > 0
        assert set(row["tags"]) <= allowed
        for before, tag in zip(["O", *row["tags"]], row["tags"], strict=False):
            assert not tag.startswith("I-") or before[2:] == tag[2:], row


def test_readme_counts_the_entities():
    readme = Path("recipes/entities/README.md").read_text(encoding="utf-8")
    counts = [Counter(tag for row in read("entities", part) for tag in row["tags"]) for part in PARTS["entities"]]

    for kind in TYPES:
        assert f"| {kind} | " + " | ".join(str(count[f"B-{kind}"]) for count in counts) + " |" in readme


def test_no_instruction_stands_twice_and_every_one_has_an_answer():
    rows = [row for part in PARTS["dialogue"] for row in read("dialogue", part)]

    assert max(Counter(fold(row["instruction"]) for row in rows).values()) == 1
    assert all(row["output"].strip() for row in rows)
