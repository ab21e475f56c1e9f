"""Run the public commands one after another or side by side, and remember what is done.

The demo calls the same program a user types, in processes of their own, so what it shows is what users get. The
result of a step (its last JSON line on standard output) is kept beside its log; a step whose command line is
unchanged and whose result is there is not run again, so an interrupted demo goes on where it stopped.
"""

import os
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec

from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.jsonl import write_json
from prefdata.progress import say


class Step(msgspec.Struct, frozen=True):
    """One command of the road."""

    name: str
    arguments: tuple[str, ...]

    @property
    def typed(self) -> str:
        """The command as a user would type it."""
        return shlex.join(("prefdata", *self.arguments))


class Road:
    """Runs steps in `out`, logs to `out/logs`, keeps results in `out/results`."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.taken: list[Step] = []
        self._processors = (
            len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        )

    def run(self, *steps: Step) -> list[dict[str, Any]]:
        """Run steps side by side, one processor each where there are enough; returns their results in order."""
        self.taken.extend(steps)
        side_by_side = max(1, min(len(steps), self._processors))
        threads = max(1, self._processors // side_by_side)
        with ThreadPoolExecutor(side_by_side) as pool:
            return list(pool.map(lambda step: self._one(step, threads), steps))

    def _one(self, step: Step, threads: int) -> dict[str, Any]:
        place = self.out / "results" / f"{step.name}.json"
        if place.exists() and (kept := _kept(place)).command == step.typed:
            say(f"{step.name}: done before, kept")
            return kept.result
        say(f"$ {step.typed}")
        log = self.out / "logs" / f"{step.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        # Small models lose time to threads that wait for each other: each step gets its share of the processors.
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "TOKENIZERS_PARALLELISM": "false"}
        started = time.monotonic()
        with open(log, "wb") as errors:
            finished = subprocess.run(
                [sys.executable, "-m", "prefdata", *step.arguments],
                stdout=subprocess.PIPE,
                stderr=errors,
                stdin=subprocess.DEVNULL,
                env=environment,
                check=False,
            )
        if finished.returncode != 0:
            raise PrefdataError(
                f"{step.name} ended with exit code {finished.returncode}: {_reason(log, finished.stdout)}",
                exit_code=EXIT_DATA,
            )
        result = _last_json(finished.stdout)
        seconds = round(time.monotonic() - started, 1)
        write_json(place, msgspec.to_builtins(_Kept(step.typed, seconds, result)))
        say(f"{step.name}: {seconds} s")
        return result


def kept_result(out: Path, name: str) -> dict[str, Any]:
    """The result of a step that is done."""
    return _kept(out / "results" / f"{name}.json").result


class _Kept(msgspec.Struct, frozen=True):
    command: str
    seconds: float
    result: dict[str, Any]


def _kept(path: Path) -> _Kept:
    return msgspec.json.decode(path.read_bytes(), type=_Kept)


def _last_json(output: bytes) -> dict[str, Any]:
    """The machine-readable result: the whole output, or its last line."""
    text = output.strip()
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except msgspec.DecodeError:
        return msgspec.json.decode(text.splitlines()[-1], type=dict[str, Any]) if text else {}


def _reason(log: Path, output: bytes) -> str:
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    last = lines[-1] if lines else output.decode(errors="replace").strip()[-300:]
    return f"{last} (log: {log})"


def lines(path: Path) -> list[dict[str, Any]]:
    """All rows of a JSONL file."""
    return [msgspec.json.decode(line) for line in path.read_bytes().splitlines()]
