"""Lines of the parts that were edited by hand: one sentence that names the line, and the run goes on without it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import read_lines, replay, replayed, write_lines

PLAIN = ("--prompt-version", "plain")
Edit = Callable[[dict[str, Any]], None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    ways = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    texts = [f"Way {way}.\n\nFinal answer: {7 if n < 1 else 10 + n}" for n, way in enumerate(ways)]
    write_lines(tmp_path / "rows.jsonl", [{"question": "How many?", "answer": "7"}])
    write_lines(tmp_path / "answers.jsonl", [{"question": "How many?", "texts": texts}])
    return tmp_path


def enough(line: dict[str, Any]) -> None:
    """Say that the first round had all that pairs need, so that there can be no second."""
    words = ("amber", "birch", "coral", "dune", "ember", "fern", "grove", "heath")
    for n, (sample, word) in enumerate(zip(line["samples"], words, strict=True)):
        verdict = {"outcome": ("correct", "wrong")[n % 2], "rule": "x", "normalised": str(n % 2)}
        sample |= {"response": word, "verdict": verdict}


def changed(**values: Any) -> Edit:
    return lambda line: line.update(values)


def sampled(**values: Any) -> Edit:
    return lambda line: line["samples"][0].update(values)


def check(command: str, folder: Path, at: int, edit: Edit, named: int, why: str) -> None:
    """Edit line `at` of a finished run: the next start names line `named`; without it, the run is as before."""
    run = replayed(command, folder, "out", *PLAIN)
    before = {file.name: file.read_bytes() for file in run.glob("*.jsonl")}
    (part,) = run.glob("parts/*.jsonl")
    lines, edited = read_lines(part), read_lines(part)
    edit(edited[at])
    write_lines(part, edited)
    done = replay(command, folder, "out", *PLAIN)
    assert done.returncode == 2
    identity = lines[named]["id"]
    assert f"parts: the line with the id {identity!r} cannot be used (" in done.stderr
    assert why in done.stderr
    assert "delete that line and run the same command again." in done.stderr
    write_lines(part, [line for n, line in enumerate(edited) if n != named])
    again = replayed(command, folder, "out", *PLAIN)
    if at == named:
        assert {file.name: file.read_bytes() for file in again.glob("*.jsonl")} == before


@pytest.mark.parametrize(
    ("at", "edit", "why"),
    [
        (0, changed(samples=[5]), "Expected `object`, got `int` - at `$.samples[0]`"),
        (0, changed(samples=5), "Expected `array`"),
        (0, changed(samples=[]), "it holds no samples"),
        (0, changed(row=None), "it holds no `row`"),
        (0, changed(row=5), "Expected `object | null`"),
        (0, changed(reference=5), "Expected `object | null`"),
        (1, sampled(verdict={"outcome": "maybe", "rule": "x"}), "Invalid enum value 'maybe'"),
        (1, sampled(response=None), "Expected `str`"),
    ],
)
def test_an_edited_line_of_samples_is_named(folder: Path, at: int, edit: Edit, why: str) -> None:
    check("cot-pairs", folder, at, edit, at, why)


def test_a_round_that_can_not_have_been_is_named(folder: Path) -> None:
    check("cot-pairs", folder, 0, enough, 1, "its question has enough samples")


@pytest.mark.parametrize(
    ("counts", "why"),
    [
        (5, "Expected `object`"),
        ({"correct": "x", "wrong": 0, "undecided": 0}, "Expected `int`"),
        ({"correct": -1, "wrong": 0, "undecided": 0}, ">= 0"),
        ({"correct": 16, "wrong": 1, "undecided": 0}, "more than 16 continuations"),
        ({"correct": 16}, "missing required field"),
    ],
)
def test_an_edited_line_of_a_step_is_named(folder: Path, counts: Any, why: str) -> None:
    check("step-scores", folder, 1, changed(counts=counts), 1, why)
