"""One command for GPT-2's architecture on Chinese text, without weights. Alone: pytest tests/flows/test_small_gpt2.py."""

import random
import shutil
from pathlib import Path

import pytest
from transformers import AutoConfig

from benchmarks import small_gpt2
from tasks.methods.models.tokenizer import load_tokenizer
from tasks.services.inputs.pretrained import digest_files
from tests.conftest import write_csv
from tests.flows.command import last_json, run

RECIPE = Path("recipes/reviews/gpt2.yaml")
WORDS = {"negative": ["太慢", "难吃", "凉了", "失望", "差评"], "positive": ["很快", "好吃", "热情", "满意", "推荐"]}
FILLER = ["今天", "外卖", "送餐", "味道", "店家", "米饭", "就是", "这家", "包装", "还有", "我们", "一份"]
TRAINING_TEXTS = ["今天的外卖很好吃、送餐也很快。", "这家店太慢、米饭凉了。"] * 3


def make_reviews(count: int, seed: int) -> list[dict[str, str]]:
    """Made-up reviews, Chinese in script only, whose label can be learned from two of their words."""
    choose = random.Random(seed)
    rows: dict[str, dict[str, str]] = {}
    while len(rows) < count:
        label = ("negative", "positive")[len(rows) % 2]
        words = choose.choices(WORDS[label], k=2) + choose.choices(FILLER, k=choose.randint(3, 6))
        choose.shuffle(words)
        rows.setdefault("、".join(words), {"text": "、".join(words) + "。", "label": label})
    return list(rows.values())


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    rows = make_reviews(360, seed=91)
    (tmp_path / "data").mkdir()
    write_csv(tmp_path / "data" / "train.csv", rows[:240])
    write_csv(tmp_path / "data" / "test.csv", rows[240:])
    return Path(shutil.copy(RECIPE, tmp_path))


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_engine")
def test_one_command_builds_trains_and_promotes(recipe: Path):
    with pytest.raises(SystemExit) as ended:
        small_gpt2.main([str(recipe), "--set", "training.epochs=3", "--set", "training.batch_size=16"])

    assert ended.value.code in (None, 0)
    again = run("run", recipe, "--json", "--set", "training.epochs=3", "--set", "training.batch_size=16")
    assert last_json(again)["outcome"] == "unchanged"
    assert last_json(again)["scores"]["candidate"]["accuracy"] > 0.9
    assert AutoConfig.from_pretrained(recipe.parent / "base").model_type == "gpt2"


def test_same_texts_give_the_same_model_and_no_character_is_unknown(tmp_path: Path):
    for name in ("one", "two"):
        small_gpt2.build(TRAINING_TEXTS, tmp_path / name, positions=64)
    tokenizer = load_tokenizer(tmp_path / "one")

    assert digest_files(tmp_path / "one") == digest_files(tmp_path / "two")
    assert tokenizer.decode(tokenizer("餐馆 in 北京 😀")["input_ids"]) == "餐馆 in 北京 😀"
    assert len(tokenizer("外卖")["input_ids"]) < len("外卖".encode())


def test_tokenizer_is_made_of_the_training_rows_alone(recipe: Path):
    texts = small_gpt2.training_texts(small_gpt2.load_recipe(recipe), recipe.parent)

    assert texts == [row["text"] for row in make_reviews(360, seed=91)[:240]]


def test_base_that_is_no_folder_is_refused(recipe: Path, capsys):
    with pytest.raises(SystemExit) as ended:
        small_gpt2.main([str(recipe), "--set", "model.base=gpt2"])

    assert ended.value.code == 2
    assert "expected ./folder" in capsys.readouterr().err
