"""What tests share: an empty home, a real S3 server, a real Prefect engine, a model that trains in a second.

Nothing is downloaded: the hub is switched off, the tiny model is built here.
"""

import csv
import functools
import gc
import multiprocessing
import os
import random
import ssl
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import botocore.session
import pytest
import yaml
from hypothesis import settings as hypothesis_settings

from tests.tiers import pytest_collection_modifyitems, pytest_runtest_call, pytest_runtest_protocol  # noqa: F401

HOME = Path(tempfile.mkdtemp(prefix="tunegate-tests-"))
# The folder of the process that started the others, which share what lies there.
SESSION = Path(os.environ.setdefault("PYTEST_TUNEGATE_SESSION", str(HOME)))
# Before anything imports a library that reads them.
os.environ["TUNEGATE_HOME"] = str(HOME)
os.environ["PREFECT_HOME"] = str(HOME / "prefect")
os.environ["PREFECT_SERVER_ANALYTICS_ENABLED"] = "false"
os.environ["DO_NOT_TRACK"] = "1"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
# A run of W&B takes longer than a cached step; tests of what is tracked ask for `tracked_offline`.
os.environ["WANDB_MODE"] = "disabled"
# Models here are tiny, and several tests run side by side.
os.environ["OMP_NUM_THREADS"] = "1"
LIMITS = ("TUNEGATE_MEMORY_GB", "TUNEGATE_PRICE_PER_HOUR", "TUNEGATE_NOTIFY")
KEYS = ("TUNEGATE_SIGNING_KEY", "TUNEGATE_SIGNING_KEY_PASSWORD", "TUNEGATE_PUBLIC_KEY")
PREFECT = ("PREFECT_API_URL", "PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING")
for name in ("TUNEGATE_S3_ENDPOINT", "TUNEGATE_BUCKET", "WANDB_API_KEY", *PREFECT, *KEYS, *LIMITS):
    os.environ.pop(name, None)
(HOME / "prefect").mkdir()

# As a command does.
gc.set_threshold(10_000)

# Tests make hundreds of clients; each would read botocore's description of S3 anew, which takes longer than its requests.
botocore.session.create_loader = functools.cache(botocore.session.create_loader)
# And as many HTTP clients, each of which would read the authorities' certificates anew.
ssl.create_default_context = functools.cache(ssl.create_default_context)

# A busy machine is no fault of the code.
hypothesis_settings.register_profile("patient", deadline=None)
hypothesis_settings.load_profile("patient")

LABELS = ("bad", "fine", "great")
WORDS = {
    "bad": ["awful", "broken", "late", "rude", "cold", "sour"],
    "fine": ["plain", "usual", "grey", "round", "quiet", "flat"],
    "great": ["lovely", "fresh", "kind", "warm", "quick", "bright"],
}
FILLER = ["the", "a", "shop", "meal", "train", "room", "was", "and", "very", "today", "again", "here", "staff", "bread"]


@pytest.fixture(scope="module", autouse=True)
def frozen() -> None:
    """Each training begins and ends with a collection, whose work would be all that the session has imported."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def settings():
    from schemas.settings import Settings

    return Settings()


@pytest.fixture(scope="session")
def store(settings):
    """The embedded S3 server's store, shared by the session."""
    from tasks.services.local import object_store

    yield object_store.open_store(settings)
    # Its data go too: nothing to wait for.
    if found := object_store.find_server(settings.home):
        found[0].kill()


@pytest.fixture(scope="session")
def forked_models() -> None:
    """Processes that load a model come from one that has imported the libraries, which takes longer than the rest."""
    from tasks.methods.models import isolated

    isolated.START = "forkserver"
    context = multiprocessing.get_context(isolated.START)
    context.set_forkserver_preload(["tasks.methods.models.predictor", "transformers.models.bert.modeling_bert"])
    # The first of them waits for the imports, which is not the time of the test that happens to start it.
    first = context.Process(target=os.getpid)
    first.start()
    first.join()


@pytest.fixture(scope="session")
def prefect_engine(store, forked_models) -> Iterator[None]:
    """A real Prefect server, shared by the session's processes; what its flows need is imported."""
    import great_expectations  # noqa: F401
    import wandb  # noqa: F401
    from prefect.context import _temporary_global_settings_context, get_settings_context
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_API_URL, temporary_settings

    from flows import finetune  # noqa: F401
    from tasks.methods.models import predictor  # noqa: F401
    from tasks.methods.training import trainer  # noqa: F401
    from tests import prefect_server

    # Threads that began before find it too.
    with (
        temporary_settings({PREFECT_API_URL: prefect_server.reach(SESSION)}),
        _temporary_global_settings_context(get_settings_context()),
    ):
        yield
        # While the server is there; at its end the process would try for a minute.
        APILogHandler().flush()


def pytest_collection_finish(session: pytest.Session) -> None:
    """The server starts while the first test that needs it imports what it needs."""
    if not session.config.option.collectonly and any(
        "prefect_engine" in getattr(item, "fixturenames", ()) for item in session.items
    ):
        from tests import prefect_server

        prefect_server.begin(SESSION)


def pytest_unconfigure() -> None:
    if SESSION == HOME:  # of the first process, which ends last
        from tests import prefect_server

        prefect_server.stop(SESSION)


@pytest.fixture(scope="module")
def tracked_offline() -> Iterator[None]:
    """Steps are tracked as they are without an account at W&B."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        yield


def make_rows(count: int, seed: int) -> list[dict[str, str]]:
    """Distinct rows whose label can be learned from two of their words."""
    choose = random.Random(seed)
    rows: dict[str, dict[str, str]] = {}
    while len(rows) < count:
        label = LABELS[len(rows) % len(LABELS)]
        words = choose.choices(WORDS[label], k=2) + choose.choices(FILLER, k=choose.randint(4, 9))
        choose.shuffle(words)
        rows.setdefault(" ".join(words), {"text": " ".join(words), "label": label})
    return list(rows.values())


def make_unanswerable_rows(count: int, seed: int) -> list[dict[str, str]]:
    """Rows whose words say nothing of their label, so that two good models differ on them by chance."""
    choose = random.Random(seed)
    texts = [" ".join(choose.sample(FILLER, k=8)) for _ in range(count)]
    return [{"text": text, "label": LABELS[number % len(LABELS)]} for number, text in enumerate(texts)]


def write_csv(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.fixture(scope="session")
def tiny_model() -> Path:
    """A BERT with two layers of width 32 and a vocabulary of the words above, in safetensors, with a licence."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    words = [*special, *FILLER, *(word for group in WORDS.values() for word in group)]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    folder = HOME / "tiny-model"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]", cls_token="[CLS]", sep_token="[SEP]"
    ).save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
        initializer_range=0.2,  # large enough that its words differ from the start
    )
    BertModel(config).save_pretrained(folder)
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
    return folder


@pytest.fixture(scope="session")
def tiny_gpt2() -> Path:
    """A GPT-2 with two layers of width 32 and no pad token, as GPT-2 has none."""
    from benchmarks.small_gpt2 import build

    texts = [" ".join([*FILLER, *(word for group in WORDS.values() for word in group)])] * 2
    build(texts, HOME / "tiny-gpt2", positions=128, vocabulary=600, width=32, spread=0.1)
    return HOME / "tiny-gpt2"


def recipe_maker(folder: Path, tiny_model: Path) -> Callable[..., Path]:
    """A function that writes a small recipe with its data; keyword arguments replace whole parts of it.

    The store is shared by the session, so recipes with the same `rows_seed` share cached steps.
    """

    def make(name: str = "tiny", rows_seed: int = 1, **parts: object) -> Path:
        write_csv(folder / "train.csv", make_rows(240, seed=rows_seed))
        write_csv(folder / "test.csv", make_rows(420, seed=rows_seed + 1)[240:])
        link = folder / "base"
        if not link.exists():
            link.symlink_to(tiny_model)
        recipe = {
            "name": name,
            "problem": {"kind": "text-classification", "labels": list(LABELS), "max_tokens": 32},
            "data": {
                "train": {"path": "train.csv", "text": "text", "label": "label"},
                "test": {"path": "test.csv", "text": "text", "label": "label"},
            },
            "contract": {"class_share": {"min": 0.1}},
            "augmentation": [{"kind": "synonyms", "fraction": 0.1}],
            "model": {"base": "./base", "licences": ["mit"]},
            "training": {
                "epochs": 5,
                "batch_size": 16,
                "learning_rate": 0.006,
                "evaluations_per_epoch": 1,
                "early_stopping": {"patience": 50},
            },
            "gate": {"at_least": 0.8, "non_inferiority_margin": 0.05},
            "promotion": {"model": name},
        }
        path = folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(recipe | parts))
        return path

    return make


@pytest.fixture
def make_recipe(tmp_path: Path, tiny_model: Path) -> Callable[..., Path]:
    return recipe_maker(tmp_path, tiny_model)


@pytest.fixture(scope="module")
def make_module_recipe(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Callable[..., Path]:
    return recipe_maker(tmp_path_factory.mktemp("recipe"), tiny_model)
