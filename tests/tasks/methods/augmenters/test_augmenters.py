"""Synonym replacement. Alone: pytest tests/tasks/methods/augmenters/test_augmenters.py."""

import pandas as pd

from schemas.recipe.augmentation import Synonyms
from schemas.recipe.data import HashSplit
from tasks.augmentation import augment
from tasks.ingestion import take_fraction
from tasks.methods.augmenters.synonyms import alter_rows, replace_words
from tasks.methods.rows import content_id
from tasks.splitting import split_by_hash


def make_rows(count: int) -> pd.DataFrame:
    texts = [f"a terrible day and a really amazing evening, number {number}" for number in range(count)]
    ids = [content_id(text) for text in texts]
    return pd.DataFrame({"id": ids, "file": 1, "row": range(1, count + 1), "text": texts, "label": "x"})


def test_known_words_change_and_the_rest_stays():
    altered = replace_words("What a Terrible day, @bob! http://x.y", "seed")

    assert altered != "What a Terrible day, @bob! http://x.y"
    assert altered.startswith("What a ")
    assert altered.endswith(" day, @bob! http://x.y")
    assert altered.split()[2][0].isupper()


def test_text_without_known_words_is_returned_as_it_is():
    assert replace_words("the cat sat", "seed") == "the cat sat"


def test_about_the_fraction_is_copied_with_its_label_and_origin():
    rows = make_rows(1_000)
    copies = alter_rows(Synonyms(fraction=0.2), rows)

    assert 150 < len(copies) < 250
    assert set(copies["label"]) == {"x"}
    assert not set(copies["id"]) & set(rows["id"])
    assert list(copies["id"]) == [content_id(text) for text in copies["text"]]


def test_same_seed_gives_the_same_copies_whatever_the_order():
    rows = make_rows(200)
    one = alter_rows(Synonyms(fraction=0.3, seed=5), rows)
    shuffled = alter_rows(Synonyms(fraction=0.3, seed=5), rows.sample(frac=1, random_state=1))
    other = alter_rows(Synonyms(fraction=0.3, seed=6), rows)

    assert set(one["text"]) == set(shuffled["text"])
    assert set(one["text"]) != set(other["text"])


def test_chosen_rows_have_nothing_to_do_with_those_a_split_with_the_same_seed_takes():
    rows = make_rows(2_000)
    train, _ = split_by_hash(rows, HashSplit(validation_fraction=0.1, seed=0))

    assert 150 < len(alter_rows(Synonyms(fraction=0.1, seed=0), train)) < 220
    assert 0.05 < len(split_by_hash(take_fraction(rows, 0.5, seed=0), HashSplit(seed=0))[1]) / 1_000 < 0.15


def test_copy_that_equals_a_held_out_text_is_left_out():
    rows = make_rows(200)
    copies = alter_rows(Synonyms(fraction=1), rows)
    held_out = copies["text"].head(50)

    augmented = augment(rows, (Synonyms(fraction=1),), held_out)

    assert not set(augmented["text"]) & set(held_out)
    assert len(augmented) == len(rows) + len(copies) - 50


def test_copy_that_reads_like_a_held_out_text_is_left_out():
    rows = make_rows(200)
    copies = alter_rows(Synonyms(fraction=1), rows)
    blanks, case = copies["text"].head(50).str.replace(" ", "\u00a0 "), copies["text"].head(50).str.upper()

    assert len(augment(rows, (Synonyms(fraction=1),), blanks)) == len(rows) + len(copies) - 50
    assert len(augment(rows, (Synonyms(fraction=1),), case)) == len(rows) + len(copies)
    assert len(augment(rows, (Synonyms(fraction=1),), case, ("case",))) == len(rows) + len(copies) - 50
