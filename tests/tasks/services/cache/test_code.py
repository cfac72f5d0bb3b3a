"""What counts as a step's code. Alone: pytest tests/tasks/services/cache/test_code.py.

A small package stands for tasks/: its step reaches a helper three imports away and one row of a table. What the real
steps' digests cover is in tests/tasks/test_digests.py.
"""

import sys
from pathlib import Path

import pytest

from schemas.errors import TunegateError
from tasks.services.cache import code

FILES = {
    "steps/train.py": '"""A step."""\nfrom tuned.methods.table import METHODS\nRATE = 1\nKNOWN = METHODS\n',
    "methods/table.py": 'from tuned.methods import lora, full\nMETHODS = {"full": full.tune, "lora": lora.tune}\n',
    "methods/full.py": "from tuned.methods.helper import double\ndef tune(): return double(1)\n",
    "methods/lora.py": "import torch\nRANK = 8\ndef tune(): return RANK\n",
    "methods/helper.py": "from tuned.methods.deep import CONSTANT\ndef double(x, by=2): return x * by + CONSTANT\n",
    "methods/deep.py": "CONSTANT = 3\n",
    "methods/unrelated.py": "X = 1\n",
}
RENAMED = {
    "methods__table": "from tuned.methods import adapters, whole\n"
    'METHODS = {"full": whole.tune, "lora": adapters.tune}\n',
    "methods__whole": FILES["methods/full.py"],
    "methods__adapters": FILES["methods/lora.py"],
}
MOVED = {
    "methods__helper": "from tuned.methods.inner.deeper import CONSTANT\ndef double(x, by=2): return x * by + CONSTANT\n",
    "methods__inner__deeper": FILES["methods/deep.py"],
}


@pytest.fixture
def edit(tmp_path: Path, monkeypatch):
    """Write the package with some files replaced and give the digest of its step with full tuning chosen."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(code, "METHODS", "tuned.methods")

    def digest_with(words: frozenset[str] = frozenset({"full"}), **changes: str) -> str:
        for name, text in (FILES | {key.replace("__", "/") + ".py": text for key, text in changes.items()}).items():
            path = tmp_path / "tuned" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
            (path.parent / "__init__.py").touch()
        (tmp_path / "tuned" / "__init__.py").touch()
        code._parse.cache_clear()
        code._code_of.cache_clear()
        return code.code_digest("tuned.steps.train", words)

    yield digest_with
    code._code_of.cache_clear()
    for name in [name for name in sys.modules if name.startswith("tuned")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("what", "change"),
    [
        (
            "a comment",
            {
                "methods__helper": "# why\nfrom tuned.methods.deep import CONSTANT\n\n\ndef double(x, by=2):\n    return x * by + CONSTANT\n"
            },
        ),
        (
            "a docstring",
            {"steps__train": '"""Another."""\nfrom tuned.methods.table import METHODS\nRATE = 1\nKNOWN = METHODS\n'},
        ),
        ("the description of a field", {"methods__deep": 'CONSTANT = 3\n"How much more."\n'}),
        ("a sibling of the chosen row", {"methods__lora": "RANK = 16\ndef tune(): return RANK\n"}),
        ("a new row", {"methods__table": FILES["methods/table.py"].replace("}", ', "new": lora.tune}')}),
        ("a module that is not reached", {"methods__unrelated": "X = 2\n"}),
        ("the name of a module", RENAMED),
        ("the place of a module", MOVED),
        ("an import of a service", {"methods__deep": "from tasks.services.storage.store import Store\nCONSTANT = 3\n"}),
    ],
)
def test_edit_that_does_not_change_the_result_keeps_the_digest(edit, what: str, change: dict[str, str]):
    assert edit() == edit(**change), what


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("a constant of the step", {"steps__train": FILES["steps/train.py"].replace("1", "2")}),
        ("a constant three imports away", {"methods__deep": "CONSTANT = 4\n"}),
        ("a default", {"methods__helper": FILES["methods/helper.py"].replace("by=2", "by=3")}),
        ("the chosen row", {"methods__full": FILES["methods/full.py"].replace("double(1)", "double(2)")}),
    ],
)
def test_edit_that_may_change_the_result_changes_the_digest(edit, what: str, change: dict[str, str]):
    assert edit() != edit(**change), what


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (
            "import json, ast\nfrom math import tau, e\n",
            "from math import e\nimport ast\nimport json\nfrom math import tau\n",
        ),
        (
            "from typing import TYPE_CHECKING\n",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\n",
        ),
        ("NAME = 'text'\n", 'NAME = u"text"\n'),
    ],
)
def test_other_writing_of_the_same_keeps_the_digest(edit, one: str, other: str):
    assert edit(methods__deep=f"{one}CONSTANT = 3\n") == edit(methods__deep=f"{other}CONSTANT = 3\n")


@pytest.mark.parametrize(("one", "other"), [("1", "1.0"), ("1", "True"), ("'1'", "1"), ("None", "0"), ("b''", "''")])
def test_constants_of_other_types_differ(edit, one: str, other: str):
    assert edit(methods__deep=f"CONSTANT = {one}\n") != edit(methods__deep=f"CONSTANT = {other}\n")


def test_import_cycle_is_refused(edit):
    with pytest.raises(RuntimeError, match="cycle"):
        edit(methods__deep="from tuned.methods.helper import double\nCONSTANT = 3\n")


def test_choice_of_another_row_changes_the_digest(edit):
    assert edit() != edit(words=frozenset({"lora"}))


def test_file_of_data_beside_a_method_is_part_of_its_code(edit, tmp_path: Path):
    change = {"methods__full": 'FILE = "words.txt"\ndef tune(): return FILE\n'}
    (tmp_path / "tuned" / "methods").mkdir(parents=True)
    (tmp_path / "tuned" / "methods" / "words.txt").write_text("one")
    before = edit(**change)
    (tmp_path / "tuned" / "methods" / "words.txt").write_text("two")

    assert edit(**change) != before


def test_environment_has_python_and_what_the_code_imports_and_no_more():
    words = frozenset({"text-classification", "full"})
    training = code.environment("tasks.training", words)
    splitting = code.environment("tasks.splitting", words)

    assert {"python", "torch", "transformers", "datasets"} <= set(training)
    assert "torch" not in splitting
    assert "pandas" in splitting
    assert "prefect" not in training


@pytest.mark.parametrize("kind", ["text-classification", "causal-lm", "sequence-to-sequence"])
def test_only_entities_are_trained_anew_for_the_library_of_entities(kind: str):
    assert "seqeval" not in code.environment("tasks.training", frozenset({kind, "full"}))
    assert "seqeval" in code.environment("tasks.training", frozenset({"token-classification", "full"}))


def test_augmenters_do_not_shape_a_run_without_them():
    with_none = code.code_digest("tasks.augmentation", frozenset())
    with_synonyms = code.code_digest("tasks.augmentation", frozenset({"synonyms"}))

    assert with_none != with_synonyms


def test_code_that_was_edited_after_the_first_key_is_refused(edit, tmp_path: Path):
    """The key is that of the file, the result would be that of the module in memory."""
    edit()
    code._first_seen.cache_clear()
    words = frozenset({"full"})
    code.check_unedited("tuned.steps.train", words)
    (tmp_path / "tuned" / "methods" / "unrelated.py").write_text("X = 2\n")
    (tmp_path / "tuned" / "methods" / "lora.py").touch()
    code.check_unedited("tuned.steps.train", words)
    (tmp_path / "tuned" / "methods" / "deep.py").write_text("CONSTANT = 4\n")

    with pytest.raises(TunegateError, match=r"deep.py was edited after this run began.*Run again"):
        code.check_unedited("tuned.steps.train", words)
    code._first_seen.cache_clear()


@pytest.mark.parametrize(
    ("what", "helper"),
    [
        (
            "bound twice",
            "def one():\n    from tuned.methods.deep import CONSTANT\n    return CONSTANT\n"
            "def double(x):\n    from tuned.methods.lora import RANK as CONSTANT\n    return CONSTANT\n",
        ),
        ("only handed on", "from tuned.methods.deep import CONSTANT\ndef double(x): return x\n"),
        ("a star", "from tuned.methods.deep import *\ndef double(x): return CONSTANT\n"),
        (
            "else",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    CONSTANT = 1\nelse:\n"
            "    from tuned.methods.deep import CONSTANT\ndef double(x): return CONSTANT\n",
        ),
    ],
)
def test_import_counts_however_it_is_written(edit, what: str, helper: str):
    before = edit(methods__helper=helper)

    assert edit(methods__helper=helper, methods__deep="CONSTANT = 4\n") != before, what


def test_branch_that_runs_without_a_type_checker_counts(edit):
    head = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch\nelse:\n    LIMIT = "

    assert edit(methods__deep=f"{head}1\nCONSTANT = 3\n") != edit(methods__deep=f"{head}2\nCONSTANT = 3\n")
