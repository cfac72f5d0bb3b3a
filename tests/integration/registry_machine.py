"""Trainers, promoters, a collector and readers on one bucket, whose processes die and whose requests get lost.

Each action goes through a client that may die before or after any of its requests, or lose one. Writers come between
a collector's marking and removing, and collectors between a writer's wait and its event. What must hold always is held
after each action, by a client without faults.
"""

import secrets
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, TypeVar

from hypothesis import strategies
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from schemas.errors import Conflict, StoreError
from schemas.records.references import ModelRef
from schemas.records.versions import Event, Manifest
from tasks.services.registry.gc import Retention, collect
from tasks.services.registry.log import event_key, read_log, read_whole_log, seal
from tasks.services.registry.pins import Pin, unpin
from tasks.services.registry.verification import find_faults
from tasks.services.registry.versions import add_version, append_event, pin_version, read_manifest, resolve, unpacked
from tasks.services.storage.store import Store
from tests.integration.bucket_view import View
from tests.integration.registry_worker import KINDS, Died, Worker
from tests.tasks.services.registry.meeting import Writer
from tests.tasks.services.registry.test_versions import make_event, make_manifest

NAME, ALIASES, WORKERS = "machine", ("champion", "challenger"), 2
RETENTION = Retention(versions=2, days=0)
PROMOTED, CANDIDATES, UNNAMED = b"ab", b"cd", ord("e")
NUMBERS, CONTENTS = strategies.integers(0, WORKERS - 1), strategies.sampled_from(PROMOTED + CANDIDATES)
WRITES, BOOLEANS, PIN = ("add", "append", "pin"), strategies.booleans(), Pin(reason="because", by="somebody")
SKEWS = strategies.floats(-1e6, 1e6)
Named = TypeVar("Named", int, str)
FAULTS = strategies.none() | strategies.tuples(strategies.integers(1, 14), strategies.sampled_from(KINDS))


class Judged(NamedTuple):
    """What a gate let pass: a candidate over the champion of then, and the event that may say so."""

    manifest: Manifest
    event: Event


def picked(number: int, among: Iterable[Named]) -> list[Named]:
    """One of these, or nothing where there is none.

    What is there depends on who was faster; were it drawn from, Hypothesis could not go the same way again.
    """
    found = sorted(among)
    return [found[number % len(found)]] if found else []


class Beginning(NamedTuple):
    """What the bucket holds when an example begins, and what its workers know."""

    objects: dict[str, tuple[str, bytes]]
    trained: dict[int, Manifest]
    contents: dict[int, int]
    judged: dict[int, Judged]
    said: dict[str, Event]


class RegistryMachine(RuleBasedStateMachine):
    """Subclasses that break the protocol override `commit` and `append`, or bring workers that do.

    The collector's clock runs ahead of the one that objects are dated by, so that no grace protects what is new.
    """

    store: Store
    workers: list[Worker]
    beginnings: list[Beginning]

    @initialize()
    def begin(self) -> None:
        """Every example begins as the first one did, whose objects are written again: the protocol takes longer."""
        self.folder, self.view = TemporaryDirectory(), View(self.store)
        for number, worker in enumerate(self.workers):
            worker.local, worker.days = Path(self.folder.name) / str(number), 0
        self.pinned: set[str] = set()
        self.seen: list[bytes] = []
        if not self.beginnings:
            self.prepare()
            self.view.look()
            self.beginnings.append(Beginning(self.view.contents, self.trained, self.contents, self.judged, self.said))
        objects, *told = self.beginnings[0]
        self.trained, self.contents, self.judged, self.said = map(dict, told)
        self.view.write(objects)
        for worker in self.workers:
            worker.days = 2

    def prepare(self) -> None:
        """A champion and the one before it, a candidate of each worker, and a version that nobody will name."""
        self.trained: dict[int, Manifest] = {}
        self.contents: dict[int, int] = {}
        self.judged: dict[int, Judged] = {}
        self.said: dict[str, Event] = {}
        for content in PROMOTED:
            self.train(0, content, ALIASES[0], 0.0, None)
            self.promote_meeting(0, None)
        for number, content in ((0, UNNAMED), *enumerate(CANDIDATES)):
            self.train(number, content, ALIASES[0], 0.0, None)
        # What is condemned from the start is removed by whoever collects a day later.
        for worker in self.workers:
            worker.days = 2
        collect(self.workers[0], RETENTION)

    def teardown(self) -> None:
        # What has failed already is to be told, and nothing that follows from it.
        if sys.exc_info()[0] is None:
            self.finish()
        self.view.clear()
        self.folder.cleanup()

    def finish(self) -> None:
        """Whoever was cut off does the same again, without faults: its event is in the log, or another was faster."""
        for number in sorted(self.judged):
            self.promote_meeting(number, None)
        assert not self.judged
        self.all_holds()

    def commit(self, worker: Store, manifest: Manifest) -> None:
        add_version(worker, manifest)

    def append(self, worker: Store, judged: Judged) -> None:
        append_event(worker, NAME, judged.event)

    def attempt(
        self,
        number: int,
        fault: tuple[int, str] | None,
        action: Callable[[Store], object],
        meanwhile: Callable[[], object] | None = None,
    ) -> bool:
        """Whether the action came to its end; a process that died is started anew, its local files are there still."""
        worker = self.workers[number]
        worker.arm(fault, meanwhile)
        try:
            action(worker)
        except Conflict:
            self.judged.pop(number, None)
            return False
        except (StoreError, Died):
            if fault is None:
                raise
            return False
        except OSError:
            # The threads of a transfer do not pass `Died` on: the file that they were to write is missing.
            if not worker.is_dead:
                raise
            return False
        finally:
            worker.arm(None)
        return True

    @rule(number=NUMBERS, content=CONTENTS, alias=strategies.sampled_from(ALIASES), skew=SKEWS, fault=FAULTS)
    def train(self, number: int, content: int, alias: str, skew: float, fault: tuple[int, str] | None) -> None:
        """A run up to its verdict, which passes."""

        def action(store: Store) -> None:
            shared = store.put_bytes(b"tokenizer")
            manifest = make_manifest(store, NAME, bytes([content]))
            manifest = manifest.model_copy(update={"files": manifest.files | {"tokenizer.json": shared}})
            self.commit(store, manifest)
            self.trained[number], self.contents[number] = manifest, content

        self.trained.pop(number, None)
        self.judged.pop(number, None)
        if self.attempt(number, fault, action):
            self.judge(number, alias, skew)

    @rule(number=NUMBERS, alias=strategies.sampled_from(ALIASES), skew=SKEWS)
    def gate(self, number: int, alias: str, skew: float) -> None:
        """The same candidate is judged again."""
        for chosen in picked(number, self.trained):
            self.judge(chosen, alias, skew)

    def judge(self, number: int, alias: str, skew: float) -> None:
        """Make the event that the log, as it was read, lets follow, by a clock of one's own."""
        log, manifest = read_log(self.workers[number], NAME), self.trained[number]
        champion = log.aliases.get(alias)
        if champion == manifest.version:
            return
        event = make_event(log, manifest.version).model_copy(
            update={
                "alias": alias,
                "from_version": champion,
                "kind": "promote" if champion else "bootstrap",
                "at": datetime.now(UTC) + timedelta(seconds=skew),
            }
        )
        self.said[event.nonce] = event
        self.judged[number] = Judged(manifest, event)

    @rule(number=NUMBERS, fault=FAULTS)
    def promote(self, number: int, fault: tuple[int, str] | None) -> None:
        for chosen in picked(number, self.judged):
            self.promote_meeting(chosen, fault)

    def promote_meeting(
        self, number: int, fault: tuple[int, str] | None, meanwhile: Callable[[], object] | None = None
    ) -> None:
        judged = self.judged[number]
        try:
            if self.attempt(number, fault, lambda store: self.append(store, judged), meanwhile):
                self.judged.pop(number)
                assert judged.event in read_log(self.store, NAME).events
        except StoreError:
            # Its version was collected meanwhile, as one that nothing named.
            assert find_faults(self.store, NAME, judged.manifest.version)
            self.judged.pop(number)

    @rule(number=NUMBERS, alias=strategies.sampled_from(ALIASES), fault=FAULTS)
    def roll_back(self, number: int, alias: str, fault: tuple[int, str] | None) -> None:
        log = read_log(self.store, NAME)
        target = log.before(alias)
        if target is None or target not in log.named[alias][-RETENTION.versions :]:
            return
        event = make_event(log, target).model_copy(
            update={
                "alias": alias,
                "kind": "rollback",
                "from_version": log.aliases[alias],
                "gate_sha256": None,
                "evaluation_set_sha256": None,
            }
        )
        self.said[event.nonce] = event
        self.attempt(number, fault, lambda store: append_event(store, NAME, event))

    @rule(number=NUMBERS, days=strategies.integers(0, 2), fault=FAULTS)
    def collect_garbage(
        self,
        number: int,
        days: int,
        fault: tuple[int, str] | None,
        meanwhile: Callable[[], object] | None = None,
    ) -> None:
        self.workers[number].days += days
        self.attempt(number, fault, lambda store: collect(store, RETENTION), meanwhile)

    @rule(number=NUMBERS, days=strategies.integers(1, 2), what=strategies.sampled_from(WRITES), is_paused=BOOLEANS)
    def meet_collector(self, number: int, days: int, what: str, is_paused: bool) -> None:
        """Another writes between a collector's marking and removing: it goes on meanwhile, or once all is written."""
        writer = Writer(lambda: self.write(1 - number, what))
        self.collect_garbage(number, days, None, writer.run if is_paused else writer.begin)
        try:
            writer.end()
        except StoreError:
            # It was told that something was taken.
            return
        if what == "add" and 1 - number in self.trained:
            assert not find_faults(self.store, NAME, self.trained[1 - number].version)

    def write(self, number: int, what: str) -> None:
        """Make something be named, as far as there is something."""
        manifest, judged = self.trained.get(number), self.judged.get(number)
        match what:
            case "add" if manifest:
                self.train(number, self.contents[number], ALIASES[0], 0.0, None)
            case "append" if judged:
                del self.judged[number]
                self.attempt(number, None, lambda store: self.append(store, judged))
            case "pin" if manifest:
                pin_version(self.workers[number], NAME, manifest.version, PIN)
                self.pinned.add(manifest.version)

    @rule(number=NUMBERS, days=strategies.integers(1, 2))
    def collect_before_an_event(self, number: int, days: int) -> None:
        """A collector begins and ends between a promoter's wait and its event."""
        for chosen in picked(number, self.judged):
            self.promote_meeting(chosen, None, partial(self.collect_garbage, 1 - chosen, days, None))

    @rule(number=NUMBERS)
    def pin(self, number: int) -> None:
        for chosen in picked(number, self.trained):
            version = self.trained[chosen].version
            if not find_faults(self.store, NAME, version):
                pin_version(self.store, NAME, version, PIN)
                self.pinned.add(version)

    @rule(number=NUMBERS)
    def unpin(self, number: int) -> None:
        for version in picked(number, self.pinned):
            unpin(self.store, NAME, version)
            self.pinned.discard(version)

    @rule(number=NUMBERS, fault=FAULTS)
    def read(self, number: int, fault: tuple[int, str] | None) -> None:
        """A service starts: on an empty machine it gets what the alias names, whole, or an error."""

        def action(store: Store) -> None:
            version = resolve(store, NAME, "champion")
            if version is not None:
                with unpacked(store, ModelRef.of(read_manifest(store, NAME, version).files)) as folder:
                    assert {path.name for path in folder.iterdir()} == {"model.safetensors", "tokenizer.json"}
                    assert version == read_log(self.store, NAME).aliases["champion"]

        self.workers[number].local = Path(self.folder.name) / secrets.token_hex(4)
        self.attempt(number, fault, action)

    @invariant()
    def all_holds(self) -> None:
        self.view.look()
        self.log_is_the_one_story_of_its_authors()
        self.what_is_named_or_pinned_is_complete()

    def log_is_the_one_story_of_its_authors(self) -> None:
        log = read_whole_log(self.view, NAME)
        assert read_log(self.view, NAME) == log
        raws = [self.view.read(event_key(NAME, number + 1)) for number in range(len(log.events))]
        assert raws[: len(self.seen)] == self.seen, "an event has changed"
        self.seen = raws
        named: dict[str, str] = {}
        for number, event in enumerate(log.events):
            assert raws[number] == seal(self.said[event.nonce])
            assert event.from_version == named.get(event.alias), "it was judged against another champion"
            named[event.alias] = event.to_version

    def what_is_named_or_pinned_is_complete(self) -> None:
        named = read_log(self.view, NAME).named
        kept = {version for versions in named.values() for version in versions[-RETENTION.versions :]}
        for version in kept | self.pinned:
            assert not find_faults(self.view, NAME, version)


class OverwritingWorker(Worker):
    """Broken: creates without the condition."""

    def create(self, key: str, content: bytes) -> bool:
        self.replace(key, content)
        return True


class AliasFirst(RegistryMachine):
    """Broken: the event comes before the manifest."""

    def commit(self, worker: Store, manifest: Manifest) -> None:
        pass

    def append(self, worker: Store, judged: Judged) -> None:
        event = judged.event
        if not worker.create(event_key(NAME, event.sequence), seal(event)):
            raise Conflict("somebody else was first")
        add_version(worker, judged.manifest)
