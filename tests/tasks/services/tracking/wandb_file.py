"""Read what W&B wrote offline: LevelDB's log framing around protobuf records (no reader ships with wandb 0.31)."""

import json
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK_BYTES = 32_768
HEADER_BYTES = 7
FULL, FIRST, LAST = 1, 2, 4
WRITTEN_SECONDS = 60


def read_frames(path: Path) -> Iterator[bytes]:
    """Give each record that is written whole; raises ValueError on a bad checksum."""
    data = path.read_bytes()
    assert b":W&B".startswith(data[:4])
    position, record = HEADER_BYTES, b""
    while position + HEADER_BYTES <= len(data):
        left = BLOCK_BYTES - position % BLOCK_BYTES
        if left < HEADER_BYTES:
            position += left
            continue
        checksum, size, kind = struct.unpack("<IHB", data[position : position + HEADER_BYTES])
        part = data[position + HEADER_BYTES : position + HEADER_BYTES + size]
        if len(part) < size:
            return
        if zlib.crc32(part, zlib.crc32(bytes([kind]))) != checksum:
            raise ValueError(f"bad checksum at {position}")
        position += HEADER_BYTES + size
        record = part if kind in (FULL, FIRST) else record + part
        if kind in (FULL, LAST):
            yield record


def read_finished_run(path: Path) -> dict[str, Any]:
    """Give what `read_run` does as soon as the run's end is written: W&B's own process writes after we went on."""
    limit = time.monotonic() + WRITTEN_SECONDS
    while "exit_code" not in (run := read_run(path)):
        assert time.monotonic() < limit, f"{path}: no end of the run after {WRITTEN_SECONDS} s"
        time.sleep(0.1)
    return run


def read_run(path: Path) -> dict[str, Any]:
    """Give a tracking run's group, job type, configuration, history, summary and artifacts, as far as written."""
    from wandb.proto import wandb_internal_pb2

    run: dict[str, Any] = {"config": {}, "history": [], "summary": {}, "artifacts": {}}
    run |= {"aliases": {}, "alerts": []}
    for frame in read_frames(path):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(frame)
        match record.WhichOneof("record_type"):
            case "run":
                run |= {"group": record.run.run_group, "job_type": record.run.job_type, "project": record.run.project}
                run["tags"] = list(record.run.tags)
                run |= {"id": record.run.run_id, "name": record.run.display_name, "sweep": record.run.sweep_id}
                run["config"] |= _values(record.run.config.update)
            case "history":
                run["history"].append(_values(record.history.item))
            case "summary":
                run["summary"] |= _values(record.summary.update)
            case "artifact":
                contents = record.artifact.manifest.contents
                run["artifacts"][record.artifact.name] = {entry.path: entry.ref for entry in contents}
                run["aliases"][record.artifact.name] = list(record.artifact.aliases)
            case "alert":
                run["alerts"].append((record.alert.level, record.alert.title, record.alert.text))
            case "exit":
                run["exit_code"] = record.exit.exit_code
    return run


def _values(items: Any) -> dict[str, Any]:
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
