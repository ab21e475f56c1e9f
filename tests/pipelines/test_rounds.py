"""How many samples a question gets, and that interruptions change nothing about it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipelines.engines.base import Reply, Request
from pipelines.engines.replay import ReplayEngine
from pipelines.judging.verdict import Verdict
from pipelines.pairing import Judged
from pipelines.questions import Asked
from pipelines.rounds import Plan, Rounds
from tests.support.program import prefdata, read_lines, replayed, write_lines

FILES = ("samples", "pairs", "format_pairs", "undecided", "hard", "easy", "audit", "dropped")
PLAIN = ("--prompt-version", "plain")


def drawn(right: int, wrong: int, undecided: int = 0) -> list[Judged]:
    return [
        Judged(
            response=f"{outcome} for reason {index}",
            verdict=Verdict(outcome=outcome, rule="test", normalised=outcome, reason=reason),  # type: ignore[arg-type]
        )
        for outcome, reason, count in (
            ("correct", "", right),
            ("wrong", "", wrong),
            ("undecided", "nomatch", undecided),
        )
        for index in range(count)
    ]


@pytest.mark.parametrize(
    ("samples", "more"),
    [
        (drawn(0, 0), 8),
        (drawn(4, 4), 0),  # 16 combinations for 15 pairs
        (drawn(5, 3), 8),
        (drawn(8, 0), 8),
        (drawn(16, 0), 0),  # one-sided: given up
        (drawn(0, 16), 0),
        (drawn(10, 0, 6), 0),  # undecided answers are no other side
        (drawn(15, 1), 8),
        (drawn(29, 3), 0),  # all of 32 drawn
        ([*drawn(4, 3), drawn(1, 0)[0]], 8),  # a response said before is no other response
        ([*drawn(2, 2), *drawn(2, 2), *drawn(2, 2)[::-1], *drawn(2, 2)], 0),  # nothing new in the last eight
    ],
)
def test_rounds_end_when_pairs_are_there_or_not_to_be_had(samples: list[Judged], more: int) -> None:
    assert Plan(most=32, pairs=15).more(samples) == more


def test_the_last_round_is_what_is_left() -> None:
    assert Plan(most=12, pairs=15).more(drawn(5, 3)) == 4
    assert Plan(most=5, pairs=15).more([]) == 5


def test_fewer_pairs_need_fewer_answers() -> None:
    assert Plan(most=32, pairs=1).more(drawn(7, 1)) == 0
    assert Plan(most=32, pairs=2).more(drawn(7, 1)) == 8


def test_a_fixed_number_is_one_round_and_reads_nothing_back(monkeypatch: pytest.MonkeyPatch) -> None:
    fixed = Plan(most=32, size=32, pairs=15)
    assert (fixed.more([]), fixed.more(drawn(2, 1))) == (32, 0)

    def read(*_: object) -> list[dict[str, Any]]:
        raise AssertionError("samples were read")

    monkeypatch.setattr("pipelines.rounds.lines_of", read)
    one = Asked(id="a", row={}, request=Request(id="a", messages=()), gold=("1",), answer_type="auto")
    Rounds(None, [one], fixed)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="samples were read"):
        Rounds(None, [one], Plan(most=32))  # type: ignore[arg-type]


def said(share: int) -> list[str]:
    """Ten texts, so many of them right."""
    ways = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    return [f"Way {way}.\nFinal answer: {7 if n < share else 10 + n}" for n, way in enumerate(ways)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shares = (0, 1, 3, 5, 7, 9, 10)
    write_lines(tmp_path / "rows.jsonl", [{"question": f"{share}?", "answer": "7"} for share in shares])
    write_lines(tmp_path / "answers.jsonl", [{"question": f"{n}?", "texts": said(n)} for n in shares])
    return tmp_path


def samples_of(run: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in read_lines(run / "samples.jsonl"):
        found.setdefault(row["question"], []).append(row["response"])
    return found


@pytest.mark.parametrize("batch", [1, 3])
def test_the_samples_are_the_first_ones_of_a_fixed_number(folder: Path, batch: int) -> None:
    more = (*PLAIN, "--engine-arg", f"batch_size={batch}")
    rounds = samples_of(replayed("cot-pairs", folder, "rounds", *more))
    fixed = samples_of(replayed("cot-pairs", folder, "fixed", "--fixed-n", *more))
    assert {len(texts) for texts in fixed.values()} == {32}
    assert rounds["0?"] == fixed["0?"][:16]
    assert rounds["10?"] == fixed["10?"][:16]
    assert rounds["5?"] == fixed["5?"][: len(rounds["5?"])]
    assert len(rounds["5?"]) < 32
    assert all(len(texts) % 8 == 0 for texts in rounds.values())


def test_both_ways_say_what_a_pair_cost(folder: Path) -> None:
    for more in ((), ("--fixed-n",)):
        run = replayed("cot-pairs", folder, "out" + "".join(more), *PLAIN, *more)
        counts = json.loads((run / "run.json").read_text())["counts"]
        told = counts["judging"]
        assert told["samples_per_pair"] == round(told["samples"] / told["pairs"], 3)
        assert counts["pairs"] == len(read_lines(run / "pairs.jsonl")) == told["pairs"]
        assert f"| samples_per_pair | {told['samples_per_pair']} |" in (run / "README.md").read_text()


def result(run: Path) -> dict[str, bytes]:
    return {name: (run / f"{name}.jsonl").read_bytes() for name in FILES}


def asked(monkeypatch: pytest.MonkeyPatch, fail: str = "", stop_after: int = 10**9) -> Counter[str]:
    """Keys that the engine is asked; `fail` is refused, and the run is stopped hard after so many."""
    generate = ReplayEngine.generate
    keys: Counter[str] = Counter()

    async def recorded(engine: ReplayEngine, batch: Sequence[Request]) -> list[Reply]:
        if not batch[0].id.startswith("probe"):
            if keys.total() >= stop_after:
                raise KeyboardInterrupt
            keys.update(request.key for request in batch)
        replies = await generate(engine, batch)
        return [
            Reply(id=reply.id, error="no") if fail and request.key.endswith(fail) else reply
            for request, reply in zip(batch, replies, strict=True)
        ]

    monkeypatch.setattr(ReplayEngine, "generate", recorded)
    return keys


@pytest.mark.parametrize("batch", [1, 3])
def test_only_owed_rounds_are_asked_again(folder: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    more = (*PLAIN, "--engine-arg", f"batch_size={batch}")
    with monkeypatch.context() as patch:
        everything = asked(patch)
        whole = replayed("cot-pairs", folder, "whole", *more)
    assert set(everything.values()) == {1}
    with monkeypatch.context() as patch:
        asked(patch, stop_after=7)
        stopped = prefdata(
            *("cot-pairs", "--engine", "replay", "--checkpoint", "answers.jsonl", "--prompt-path"),
            *("rows.jsonl", "--out-dir", "again", *more),
            cwd=folder,
        )
    assert stopped.returncode == 130
    (part,) = folder.glob("again/*/*/parts/0.jsonl")
    done = [row["id"] for row in read_lines(part)]
    with monkeypatch.context() as patch:
        rest = asked(patch)
        again = replayed("cot-pairs", folder, "again", *more)
    assert done
    if batch == 1:
        assert sorted([*done, *rest.elements()]) == sorted(everything)
    assert set(done) | set(rest) == set(everything)
    assert result(again) == result(whole)
    with monkeypatch.context() as patch:
        nothing = asked(patch)
        replayed("cot-pairs", folder, "again", *more)
    assert not nothing


def test_a_failed_round_keeps_what_was_drawn_and_is_asked_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = replayed("cot-pairs", folder, "whole", *PLAIN)
    with monkeypatch.context() as patch:
        asked(patch, fail=".8")
        failed = replayed("cot-pairs", folder, "out", *PLAIN)
    dropped = read_lines(failed / "dropped.jsonl")
    assert {row["reason"] for row in dropped} == {"engine: no"}
    sampled = {row["meta"]["question_id"] for row in read_lines(failed / "samples.jsonl")}
    assert {row["id"] for row in dropped} <= sampled
    assert [row["request"] for row in dropped] == [row["id"] + ".8" for row in dropped]
    assert {len(texts) for texts in samples_of(failed).values()} == {8}
    with monkeypatch.context() as patch:
        rest = asked(patch)
        again = replayed("cot-pairs", folder, "out", *PLAIN)
    assert rest
    assert all("." in key for key in rest)
    assert result(again) == result(whole)


@pytest.mark.parametrize("batch", [1, 2])
def test_killed_between_rounds_and_run_again_gives_the_same_bytes(folder: Path, batch: int) -> None:
    pace = (*PLAIN, "--engine-arg", "delay=0.05", "--engine-arg", f"batch_size={batch}")
    whole = replayed("cot-pairs", folder, "whole", *pace)
    argv: list[Any] = [sys.executable, "-m", "prefdata", "cot-pairs", "--engine", "replay", *pace]
    argv += ["--checkpoint", "answers.jsonl", "--prompt-path", "rows.jsonl", "--out-dir", "killed"]

    def lines() -> int:
        return sum(part.read_bytes().count(b"\n") for part in folder.glob("killed/*/*/parts/*.jsonl"))

    for lines_before_kill in (3, 9):
        process = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while lines() < lines_before_kill and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    killed = replayed("cot-pairs", folder, "killed", *pace)
    assert result(killed) == result(whole)
    ids = [row["id"] for part in killed.glob("parts/*.jsonl") for row in read_lines(part)]
    assert len(ids) == len(set(ids))
