"""Refused models, and forged records of the cache that would promote them.

Each attack writes what an account may that trains and does not promote: blobs, and records under `cache/`.
Alone: pytest tests/flows/test_forged_records.py -m ''
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import pytest

from flows.chain.train import TunedModel
from schemas.frozen import Frozen, canonical_json
from schemas.recipe.loading import load_recipe
from schemas.records.approval import Grounds
from schemas.records.references import AnswersRef, EvidenceRef, LoadedRef, RowsRef, SourcesRef
from schemas.records.verdict import Verdict
from schemas.records.versions import Manifest
from schemas.settings import Settings
from tasks.approval import make_proposal, propose
from tasks.loading import NUM_ROWS, load_version
from tasks.services.cache.keys import key_of
from tasks.services.cache.records import SERIALIZER, RecordJSON, result_of
from tasks.services.local.object_store import open_store
from tasks.services.registry.log import read_log
from tasks.services.registry.versions import add_version, read_manifest
from tasks.services.storage.store import Store
from tasks.services.storage.tables import keep_table, read_table
from tests.flows.command import last_json, run
from tests.tasks.services.registry.test_versions import promote

pytestmark = [pytest.mark.usefixtures("prefect_engine"), pytest.mark.slow]
UNTRAINED = ("--set", "training.epochs=1", "--set", "training.learning_rate=1e-7")
EASY = {"at_least": 0.5, "non_inferiority_margin": 0.5}
LENIENT = {"at_least": 0.01, "non_inferiority_margin": 0.2}


class Attack:
    """The records of a run that was refused, and what takes their place."""

    def __init__(self, store: Store, outcome: dict[str, Any]) -> None:
        self.store, self.model = store, outcome["model"]
        self.keys = {step["name"]: f"cache/{step['key']}.json" for step in outcome["steps"] if step["key"]}

    def result(self, step: str) -> Any:
        return result_of(self.store.read(self.keys[step]))

    def forge(self, step: str, result: Frozen) -> None:
        self.write(self.keys[step], result)

    def write(self, key: str, result: Frozen) -> None:
        record = {"metadata": {"serializer": {"type": SERIALIZER}}, "result": RecordJSON().dumps(result).decode()}
        self.store.replace(key, canonical_json(record))

    def altered(self, blob: Any, alter: Callable[[pd.DataFrame], pd.DataFrame]) -> Any:
        return blob.model_copy(update=dict(keep_table(self.store, alter(read_table(self.store, blob)))))

    def relabelled(self, rows: RowsRef) -> RowsRef:
        """Test rows whose labels are what the candidate predicts."""
        scores = self.result("evaluate")
        labels = [scores.labels[number] for number in read_table(self.store, scores)["answer"]]
        return self.altered(rows, lambda table: table.assign(label=labels))


def all_right(answers: pd.DataFrame) -> pd.DataFrame:
    return answers.assign(answer=answers["truth"])


def right_but_for_the_first(answers: pd.DataFrame) -> pd.DataFrame:
    """The rows that `load` looks at stay as they are."""
    return answers.assign(answer=answers["answer"].where(answers.index < NUM_ROWS, answers["truth"]))


def all_wrong(answers: pd.DataFrame) -> pd.DataFrame:
    return answers.assign(answer=(answers["truth"] + 1) % 3)


def forge_gate(attack: Attack) -> None:
    verdict = attack.result("gate")
    rules = tuple(rule.model_copy(update={"decision": "pass"}) for rule in verdict.rules)
    attack.forge("gate", Verdict(decision="pass", rules=rules, rows=verdict.rows))


def forge_evaluate(attack: Attack) -> None:
    attack.forge("evaluate", attack.altered(attack.result("evaluate"), right_but_for_the_first))


def forge_champion(attack: Attack) -> None:
    attack.forge("evaluate-champion", attack.altered(attack.result("evaluate-champion"), all_wrong))


def forge_ingest(attack: Attack) -> None:
    sources = attack.result("ingest")
    attack.forge("ingest", SourcesRef.of(train=sources.train, test=attack.relabelled(sources.test)))


def forge_ingest_under_its_digest(attack: Attack) -> None:
    """The true digest beside other rows: what runs on them is recorded under true keys."""
    sources = attack.result("ingest")
    attack.forge("ingest", sources.model_copy(update={"test": attack.relabelled(sources.test)}))
    attack.store.delete([attack.keys["validate"]])


def forge_validate(attack: Attack) -> None:
    found = attack.result("validate")
    attack.forge("validate", found.model_copy(update={"test": attack.relabelled(found.test)}))


def forge_load(attack: Attack) -> None:
    """A record that says that the version predicts what the forged record of its evaluation says."""
    scores, rows = attack.altered(attack.result("evaluate"), all_right), attack.result("validate").test
    attack.forge("evaluate", scores)
    manifest = read_manifest(attack.store, attack.model["name"], attack.model["version"])
    key = key_of(load_version, {**vars(TunedModel.of(manifest)), "rows": rows, "scores": scores})
    attack.write(f"cache/{key.path}.json", LoadedRef(digest="0" * 64, num_rows=NUM_ROWS))


def forge_baselines(attack: Attack) -> None:
    found = attack.result("baselines")
    tables = {name: attack.altered(blob, all_wrong) for name, blob in found.tables.items()}
    attack.forge("baselines", AnswersRef(digest="0" * 64, tables=tables))


def forge_measure(attack: Attack) -> None:
    costs = attack.result("measure")
    small = costs.candidate.model_copy(update={"size_bytes": 1})
    attack.forge("measure", costs.model_copy(update={"candidate": small, "digest": "0" * 64}))


CASES = {
    "gate": (forge_gate, LENIENT, UNTRAINED),
    "evaluate": (forge_evaluate, LENIENT, UNTRAINED),
    "evaluate-champion": (forge_champion, LENIENT, UNTRAINED),
    "ingest": (forge_ingest, LENIENT, UNTRAINED),
    "ingest-under-its-digest": (forge_ingest_under_its_digest, LENIENT, UNTRAINED),
    "validate": (forge_validate, LENIENT, UNTRAINED),
    "load": (forge_load, LENIENT, UNTRAINED),
    "baselines": (forge_baselines, LENIENT | {"guard_rails": ["words"]}, UNTRAINED),
    "measure": (forge_measure, EASY | {"budgets": {"size": 0.5}}, ("--set", "training.seeds=[5]")),
}


@pytest.fixture(scope="module")
def champion(make_module_recipe) -> Manifest:
    """A good model, promoted by a run."""
    outcome = last_json(run("run", make_module_recipe("forged", rows_seed=301, gate=EASY), "--json"))
    assert outcome["outcome"] == "promoted"
    return read_manifest(open_store(Settings()), "forged", outcome["model"]["version"])


@pytest.fixture
def restored() -> Iterator[Store]:
    """The store; forged records are removed afterwards, since the tests share the true ones."""
    store = open_store(Settings())
    before = {key: store.read(key) for key in store.list_keys("cache/")}
    yield store
    for key in store.list_keys("cache/"):
        if key not in before:
            store.delete([key])
        elif store.read(key) != before[key]:
            store.replace(key, before[key])


@pytest.mark.parametrize("case", CASES)
def test_forged_record_promotes_nothing(champion: Manifest, restored: Store, make_module_recipe, case: str):
    forge, gate, arguments = CASES[case]
    name = f"forged-{case}"
    if case != "baselines":
        promote(restored, name, add_version(restored, champion.model_copy(update={"model": name})))
    command = ("run", make_module_recipe(name, rows_seed=301, gate=gate, contract={}), *arguments)
    refused = last_json(run(*command, "--json"))
    log = read_log(restored, name)
    forge(Attack(restored, refused))
    attacked = run(*command)

    assert refused["outcome"] == "refused"
    assert (attacked.exit_code, "is not promoted" in attacked.stderr) == (5, True), attacked.stderr
    assert read_log(restored, name) == log

    forged = re.findall(r"cache/\S+\.json", attacked.stderr)
    restored.delete(forged)
    assert (forged != [], run(*command).exit_code) == (True, 1)


def test_forged_proposal_is_not_approved(make_module_recipe):
    """The verdict, and the predictions that it was computed from, are those of another model."""
    name, store = "forged-proposal", open_store(Settings())
    recipe = make_module_recipe(name, rows_seed=301, gate=EASY, contract={})
    refused = last_json(run("run", recipe, "--json", *UNTRAINED))
    attack = Attack(store, refused)
    scores, rows = attack.altered(attack.result("evaluate"), all_right), attack.result("validate").test
    rules = tuple(rule.model_copy(update={"decision": "pass"}) for rule in attack.result("gate").rules)
    verdict = Verdict(decision="pass", rules=rules, rows=rows.num_rows)
    evidence = EvidenceRef.of(candidate=scores, labels=scores.labels)
    grounds = Grounds(evidence=evidence, rows=rows, gate=load_recipe(recipe, ()).gate)
    version = refused["model"]["version"]
    propose(store, make_proposal(read_log(store, name), name, "champion", version, verdict, grounds, "run"), verdict)

    for more in ((), ("--dry-run",)):
        found = run("approve", name, version, *more)
        assert (found.exit_code, "its verdict, computed again, is refuse" in found.stderr) == (5, True), found.stderr
    assert read_log(store, name).events == ()
