"""Overhead of a run with everything cached, and of a step beside its work.

    python -m benchmarks.overhead recipes/tweets/full.yaml [--repeats 5] [--tasks 100] [--json]

First the recipe runs until everything is cached. Then, in turns: `python -c "import prefect, torch,
transformers"`, the same recipe with a Prefect server up, and without one, its start included; figures are medians of
whole processes in seconds. Then trivial tasks in one flow run with that server: Prefect's own, which stores and tracks
nothing; ours on a miss; ours on a hit, each with its tracking run. State lies in TUNEGATE_HOME.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from schemas.settings import Settings, library_environment

IMPORTS = ["-c", "import prefect, torch, transformers"]
LIMITS = {"above_imports_server_up": 5.0, "above_imports_no_server": 12.0}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--port", type=int, default=4207)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    for name, value in library_environment(Settings()).items():
        os.environ.setdefault(name, value)
    command = ["-m", "flows", "run", str(arguments.recipe), "--json"]
    with prefect_server(arguments.port) as address:
        fill_cache(command, address)
        figures = time_commands(command, address, arguments.repeats) | time_tasks(address, arguments.tasks)
    for name, value in figures.items():
        limit = f"  (limit {LIMITS[name]:g})" if name in LIMITS else ""
        print(f"{name:32} {value}{limit}")
    if arguments.json:
        print(json.dumps(figures))
    if any(figures[name] > limit for name, limit in LIMITS.items()):
        raise SystemExit("It takes longer than its limit.")


def time_commands(command: list[str], address: str, repeats: int) -> dict[str, Any]:
    """Medians of whole processes, in seconds; the three take turns, so that a slow minute is slow for all."""
    kinds: dict[str, Callable[[], float]] = {
        "imports": lambda: time_process(IMPORTS, {}),
        "cached_server_up": lambda: time_process(command, {"PREFECT_API_URL": address}),
        "cached_no_server": lambda: time_process(command, {"PREFECT_API_URL": ""}),
    }
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    for number in range(repeats):
        for name, measure in kinds.items():
            seconds[name].append(measure())
        print(
            f"{number + 1} of {repeats}:",
            {name: round(found[-1], 2) for name, found in seconds.items()},
            file=sys.stderr,
        )
    found: dict[str, Any] = {name: round(median(values), 2) for name, values in seconds.items()}
    found["spread"] = {name: [round(min(values), 2), round(max(values), 2)] for name, values in seconds.items()}
    found["above_imports_server_up"] = round(found["cached_server_up"] - found["imports"], 2)
    found["above_imports_no_server"] = round(found["cached_no_server"] - found["imports"], 2)
    return found


def time_tasks(address: str, count: int) -> dict[str, float]:
    """Milliseconds per trivial task: Prefect's own, our miss, our hit, with W&B offline."""
    os.environ["PREFECT_API_URL"] = address
    os.environ.setdefault("WANDB_MODE", "offline")
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE

    from flows.chain.steps import Run
    from schemas.records.verdict import Verdict
    from tasks.services.cache.records import cached_task
    from tasks.services.tracking.wandb_runs import TrackingContext

    def trivial(number: int, salt: str) -> Verdict:
        return Verdict(decision="pass", rules=(), rows=number)

    plain = task(name="plain", cache_policy=NO_CACHE, persist_result=False)(trivial)
    cached = cached_task("trivial")(trivial)
    salt = time.strftime("%Y%m%d%H%M%S")

    @flow(name="overhead", persist_result=False)
    def measure() -> dict[str, float]:
        chain = Run(
            TrackingContext(project="overhead", group=salt, folder=Settings().home / "wandb" / salt), "overhead"
        )
        calls: dict[str, Callable[[int], Any]] = {
            "task_prefect_ms": lambda number: plain(number, salt),
            "task_miss_ms": lambda number: chain.call("trivial", cached, number=number, salt=salt),
            "task_hit_ms": lambda number: chain.call("trivial", cached, number=number, salt=salt),
        }
        return {name: round(time_calls(call, count), 1) for name, call in calls.items()}

    return measure()


def time_calls(call: Callable[[int], Any], count: int) -> float:
    """Mean milliseconds per call, without the first one."""
    call(-1)
    begun = time.perf_counter()
    for number in range(count):
        call(number)
    return (time.perf_counter() - begun) / count * 1000


def fill_cache(command: list[str], address: str) -> None:
    """Run until a run computes nothing: the first may promote, which changes the champion."""
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, *command],
            env=environment({"PREFECT_API_URL": address}),
            stdout=subprocess.PIPE,
            check=True,
        )
        steps = json.loads(done.stdout.splitlines()[-1])["steps"]
        if all(step["state"] in ("cached", "unchanged") for step in steps):
            return
    raise SystemExit(f"three runs did not end with everything cached: {steps}")


def time_process(arguments: list[str], variables: dict[str, str]) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, *arguments], env=environment(variables), capture_output=True, check=True)
    return time.perf_counter() - begun


def environment(variables: dict[str, str]) -> dict[str, str]:
    merged = os.environ | variables
    return {name: value for name, value in merged.items() if value}


@contextmanager
def prefect_server(port: int) -> Iterator[str]:
    """Start a separate Prefect server, like `make up`."""
    home = Settings().home / "prefect"
    home.mkdir(parents=True, exist_ok=True)
    address = f"http://127.0.0.1:{port}/api"
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--port", str(port)],
        env=os.environ | {"PREFECT_UI_ENABLED": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until_healthy(address, process)
        yield address
    finally:
        process.terminate()
        process.wait(30)


def wait_until_healthy(address: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 120
    failure: Exception | None = None
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(f"{address}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError as error:
            failure = error
        time.sleep(0.5)
    raise SystemExit(f"the Prefect server at {address} did not become healthy ({failure})")


if __name__ == "__main__":
    main()
