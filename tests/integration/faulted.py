"""Run the command line with something happening at one point, in a process of its own.

A point is a function or a request to S3, a place before or after one of its calls, and what happens there: the process
kills itself as `kill -9` would, or stops or kills the store.

As a program, it imports what commands need and then forks a process for each line that it reads, which saves the imports
of each: `{"point": ..., "arguments": [...], "environment": {...}, "folder": ...}`. It answers with the exit code; what
the process prints goes to `stdout` and `stderr` in the folder.
"""

import http.client
import json
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from prefect.context import refresh_global_settings_context


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def stop_store() -> None:
    from schemas.settings import Settings
    from tasks.services.local.object_store import stop

    stop(Settings())


def kill_store() -> None:
    from schemas.settings import Settings
    from tasks.services.local.object_store import find_server

    (server, _) = find_server(Settings().home)
    # Of several threads that send a part the first has done it.
    with suppress(ProcessLookupError):
        os.kill(server.pid, signal.SIGKILL)


@dataclass(frozen=True)
class Point:
    """`call` counts the calls in whose arguments `about` occurs."""

    where: str
    when: Literal["before", "after"]
    call: int = 1
    about: str = ""
    then: Callable[[], None] = kill


KILLS = {
    "while the store is probed": Point("tasks.services.storage.store:Store.create", "after", about="/once"),
    "inside ingest": Point("tasks.ingestion:read_source", "after"),
    "half of an upload sent": Point("half-sent", "before", about="blobs/"),
    "ingest: between blobs and record": Point(
        "tasks.services.storage.store:Store.create", "before", about="cache/ingest"
    ),
    "between ingest and validate": Point("flows.chain.steps:remember", "after"),
    "inside validate": Point("tasks.validation:check_contract", "after"),
    "validate: record written": Point("tasks.services.storage.store:Store.create", "after", about="cache/validate"),
    "inside augment": Point("tasks.augmentation:augment", "after"),
    "inside tokenize": Point("tasks.tokenization:tokenize", "after"),
    "lease of train just taken": Point("tasks.services.storage.store:Store.create", "after", about="leases/train"),
    "training, before a checkpoint": Point("tasks.methods.training.callbacks:Watch.on_log", "after", call=2),
    "checkpoint: between files and manifest": Point(
        "tasks.services.storage.store:Store.create", "before", about="checkpoints/"
    ),
    "training, after the second checkpoint": Point("tasks.services.cache.checkpoints:save_checkpoint", "after", call=2),
    "training ended, model not stored": Point("tasks.training:publish_model", "after"),
    "between two files of the model": Point(
        "tasks.services.storage.store:Store.put_file", "after", about="model/config"
    ),
    "train: between blobs and record": Point(
        "tasks.services.storage.store:Store.create", "before", about="cache/train"
    ),
    "train: record written": Point("tasks.services.storage.store:Store.create", "after", about="cache/train"),
    "version: before its manifest": Point("tasks.services.storage.store:Store.create", "before", about="manifest.json"),
    "inside evaluate": Point("tasks.evaluation:answer", "after"),
    "inside gate": Point("tasks.gating:gate_predictions", "after"),
    "promotion: before its event": Point("tasks.services.storage.store:Store.create", "before", about="/log/"),
    "promotion: event written": Point("tasks.services.storage.store:Store.create", "after", about="/log/"),
    "while the report is published": Point("flows.chain.publish:render_page", "before"),
}
# With a champion there already.
PROMOTIONS = {
    "inside load": Point("tasks.loading:answer_apart", "after"),
    "load: before its record": Point("tasks.services.storage.store:Store.create", "before", about="cache/load"),
    "load: record written": Point("tasks.services.storage.store:Store.create", "after", about="cache/load"),
    "before the verdict": Point("tasks.services.storage.store:Store.put_bytes", "before", about='{"decision"'),
    "verdict kept": Point("tasks.services.storage.store:Store.put_bytes", "after", about='{"decision"'),
}
RELEASES = {
    "files read": Point("flows.release:check_version", "after"),
    "model loaded": Point("flows.release:check_loads", "after"),
}
EVENTS = {
    "before the event": Point("tasks.services.storage.store:Store.create", "before", about="/log/"),
    "half of the event sent": Point("half-sent", "before", about="/log/"),
    "event written": Point("tasks.services.storage.store:Store.create", "after", about="/log/"),
}
OTHERS = {
    "terminated in training": Point("tasks.methods.training.callbacks:Watch.on_log", "after", call=3, then=terminate),
    "store stopped in training": Point(
        "tasks.methods.training.callbacks:Watch.on_log", "after", call=3, then=stop_store
    ),
    "store killed in an upload": Point("s3:UploadPart", "before", call=2, about="blobs/", then=kill_store),
}
PRELOADED = (
    "great_expectations",
    "wandb",
    "flows.finetune",
    "tasks.methods.models.predictor",
    "tasks.methods.training.trainer",
    "transformers.models.bert.modeling_bert",
)
POINTS = KILLS | PROMOTIONS | RELEASES | EVENTS | OTHERS


def arrange(point: Point) -> None:
    """Put the point into the running program."""
    # Checkpoints of a training of a second, kept as those of a training of hours would be.
    import_module("tasks.methods.training.callbacks").KEEPING_SHARE = 1e9
    if point.where == "half-sent":
        arrange_half_sent_upload(point)
        return
    if point.where.startswith("s3:"):
        arrange_request(point)
        return
    module, _, path = point.where.partition(":")
    owner: Any = import_module(module)
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    original, calls = getattr(owner, name), 0

    def called(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += point.about in repr(arguments)
        is_here = calls == point.call and point.about in repr(arguments)
        if is_here and point.when == "before":
            point.then()
        result = original(*arguments, **named)
        if is_here and point.when == "after":
            point.then()
        return result

    setattr(owner, name, called)
    # Modules that were imported before may have it by its name.
    for other in [module for path, module in sys.modules.items() if path.partition(".")[0] in ("flows", "tasks")]:
        if vars(other).get(name) is original:
            setattr(other, name, called)


def arrange_request(point: Point) -> None:
    calls = 0

    def meet(request: Any, **_: Any) -> None:
        nonlocal calls
        calls += point.about in request.url
        if calls == point.call and point.about in request.url:
            point.then()

    meet_requests(point.where.removeprefix("s3:"), meet)


def arrange_half_sent_upload(point: Point) -> None:
    def send_half(request: Any, **_: Any) -> None:
        if point.about not in request.url:
            return
        url, body = urlsplit(request.url), request.body if isinstance(request.body, bytes) else request.body.read()
        connection = http.client.HTTPConnection(url.netloc)
        connection.putrequest("PUT", url.path)
        for header, value in request.headers.items():
            connection.putheader(header, value.decode() if isinstance(value, bytes) else value)
        connection.endheaders()
        connection.send(body[: len(body) // 2])
        kill()

    meet_requests("PutObject", send_half)


def meet_requests(operation: str, meet: Callable[..., None]) -> None:
    """Call `meet` with each request of a kind, just before it is sent."""
    from tasks.services.storage import s3, store

    def connect(*arguments: Any, **named: Any) -> Any:
        client = s3.connect(*arguments, **named)
        client.meta.events.register(f"before-send.s3.{operation}", meet)
        return client

    store.connect = connect


def run_forked(request: dict[str, Any]) -> None:
    """Become the command of a request, whose environment is that of the whole process."""
    os.environ.clear()
    os.environ.update(request["environment"])
    for number, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(Path(request["folder"], name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    # Prefect read the environment when it was imported.
    refresh_global_settings_context()
    arrange(POINTS[request["point"]])
    from flows.commands.app import app

    app(request["arguments"])


def serve() -> None:
    """Fork a process for each line of standard input."""
    answers = os.fdopen(os.dup(1), "w")
    # Some libraries print when they are imported.
    os.dup2(2, 1)
    for name in PRELOADED:
        import_module(name)
    for line in sys.stdin:
        if not (number := os.fork()):
            run_forked(json.loads(line))
        print(os.waitstatus_to_exitcode(os.waitpid(number, 0)[1]), file=answers, flush=True)


if __name__ == "__main__":
    serve()
