"""The program answers at once: commands import their libraries and their own drivers only when they run."""

import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("prefdata")
# What does the work of the commands; help needs none of it.
DRIVERS = (
    *("prefdata.validate", "prefdata.convert", "prefdata.formats", "prefdata.images", "prefdata.findings"),
    *("prefdata.mixtures", "prefdata.sniff", "prefdata.stats", "prefdata.report", "prefdata.records"),
    *("pipelines.prompts", "pipelines.splitting", "xxhash", "yaml"),
)
HEAVY = ("torch", "transformers", "pyarrow", "PIL", "numpy")
LIMIT_SECONDS = 0.25
# A busy machine makes single runs slow, never fast: one quick run is proof. A program that is too slow is so in all.
TRIES = 24
PAUSE_SECONDS = 0.25  # load comes in bursts; tries next to each other would share one


def children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def best_cpu_seconds(*arguments: str) -> float:
    """CPU seconds, not the clock's: nothing is waited for, so both agree on an idle machine, and only these stay true
    when other work has the processors."""
    best = math.inf
    for _ in range(TRIES):
        before = children_cpu_seconds()
        subprocess.run([PROGRAM, *arguments], check=True, stdout=subprocess.DEVNULL)
        best = min(best, children_cpu_seconds() - before)
        if best < LIMIT_SECONDS:
            break
        time.sleep(PAUSE_SECONDS)
    return best


@pytest.mark.parametrize("arguments", [["--help"], ["validate", "--help"]], ids=" ".join)
def test_help_starts_quickly(arguments: list[str]) -> None:
    assert best_cpu_seconds(*arguments) < LIMIT_SECONDS


def test_a_thousand_rows_are_checked_at_once(tmp_path: Path) -> None:
    file = tmp_path / "pairs.jsonl"
    row = {"chosen": "It is the square of 6.", "rejected": "It is the root of 7."}
    file.write_text("".join(json.dumps({"question": f"{n}?", **row}) + "\n" for n in range(1000)))
    assert best_cpu_seconds("validate", "-q", str(file)) < LIMIT_SECONDS


def loaded_by(arguments: list[str], names: tuple[str, ...]) -> str:
    script = (
        "import sys\n"
        "from prefdata.cli.main import main\n"
        f"sys.argv = ['prefdata', *{arguments!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', [name for name in {names!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["validate", "--help"], ["mix", "--help"], ["mix", "write", "--help"]],
    ids=" ".join,
)
def test_help_imports_nothing_heavy_and_no_driver(arguments: list[str]) -> None:
    assert loaded_by(arguments, HEAVY + DRIVERS) == "loaded: []"


def test_validation_of_lines_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"question":"Area?","chosen":"6","rejected":"8"}\n')
    assert loaded_by(["validate", "-q", str(tmp_path / "a.jsonl")], HEAVY) == "loaded: []"
