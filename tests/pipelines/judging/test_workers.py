"""Worker processes that stall, die or are asked something hostile: bounded, replaced, no hindrance to others."""

import os
import time
from collections.abc import Iterator

import pytest

from pipelines.judging import Ask, judge, judge_all, outside, symbolic
from pipelines.judging.workers import Found, Task, Workers

BOMB = Task("regex", "a" * 40 + "!", "(a+)+$")


@pytest.fixture
def team() -> Iterator[Workers]:
    workers = Workers("regex", limit=0.5, most=2)
    workers.run([Task("regex", "a", "a")] * 4)  # started
    yield workers
    workers.close()


def test_a_stalled_worker_is_killed_and_replaced_and_stalls_no_other(team: Workers) -> None:
    before = [worker.process.pid for worker in team._team]
    started = time.monotonic()
    answers = team.run([BOMB, *[Task("regex", str(n), r"\d+") for n in range(200)]])
    assert time.monotonic() - started < 2
    assert answers[0] == Found("timeout")
    assert [answer.what for answer in answers[1:]] == ["equal"] * 200
    assert team.killed == 1
    assert sum(_alive(pid) for pid in before) == 1
    assert team.run([Task("regex", "7", r"\d")]) == [Found("equal", "7")]


def test_all_workers_stalled_at_once_are_all_replaced(team: Workers) -> None:
    started = time.monotonic()
    answers = team.run([BOMB] * 4 + [Task("regex", "7", r"\d")])
    assert time.monotonic() - started < 6
    assert [answer.what for answer in answers] == ["timeout"] * 4 + ["equal"]
    assert team.killed == 4


def test_a_worker_that_dies_costs_its_task_only(team: Workers) -> None:
    for worker in team._team:
        os.kill(worker.process.pid, 9)
    answers = team.run([Task("regex", "7", r"\d")] * 3)
    assert answers[-1] == Found("equal", "7")


def test_closing_ends_all_processes(team: Workers) -> None:
    pids = [worker.process.pid for worker in team._team]
    team.close()
    assert not any(_alive(pid) for pid in pids)


@pytest.mark.skipif(not symbolic.installed(), reason="math-verify is not installed")
def test_computer_algebra_that_never_ends_is_killed() -> None:
    """Past the guards on purpose: what slips through them is bounded all the same."""
    workers = Workers("symbolic", limit=1.0, most=2)
    try:
        easy = Task("symbolic", "x+1", "1+x")
        workers.run([easy, easy])
        started = time.monotonic()
        answers = workers.run([Task("symbolic", "9^{9^{9^{9}}}", "7"), easy, easy])
        assert time.monotonic() - started < 30  # one limit and, on a busy machine, one start
        assert answers[0].what in ("timeout", "failed")
        assert [answer.what for answer in answers[1:]] == ["equal", "equal"]
    finally:
        workers.close()


@pytest.mark.parametrize(
    "answer",
    [
        *(
            "9^{9^{9^9}}",
            "10^{10^{10}}",
            "9^9^9",
            "(1+x)^{100000}",
            "1000000!",
            "(10!)!",
            "2^{30!}",
            "9**9**9",
        ),
        *(r"\sum_{n=1}^{1000000} n", "1" * 60, "(" * 20 + "x" + ")" * 20, "x+" * 120 + "x"),
    ],
)
def test_what_looks_expensive_is_never_computed(answer: str) -> None:
    assert symbolic.dangerous(answer)
    assert symbolic.task(answer, "x") is None


@pytest.mark.parametrize(
    "answer", [r"\frac{6^6 - 5^6}{6^5}", "x^{10}+y^2", "5!", r"\begin{pmatrix}1&2\\3&4\end{pmatrix}"]
)
def test_what_looks_cheap_is(answer: str) -> None:
    assert symbolic.task(answer, answer) is not None


def test_many_hostile_answers_among_others_are_bounded_and_the_others_judged() -> None:
    outside.forget()
    long = "a" * 100_000
    hostile = [
        *(("9^{9^{9^9}}", "x^2", "math"), ("1000000!", "x!", "math"), ("9" * 1_000_000, "9", "math")),
        *(("(" * 50_000 + "x", "x", "math"), ("\\(" * 30_000, "x", "math"), (long, "x+1", "math")),
        *(
            (long + "!", "(a+)+$", "regex"),
            ("a" * 60 + "!", "(a|a)*$", "regex"),
            ("x" * 100_000, "(.*)*y", "regex"),
        ),
    ]
    asks = [Ask(f"Final answer: {answer}", (gold,), kind) for answer, gold, kind in hostile]
    easy = [Ask(f"Final answer: {n}x+1", (f"1+{n}x",), "math") for n in range(2, 30)]
    judge_all([Ask("Final answer: a", ("b",), "regex"), Ask("Final answer: (0,1)", ("0<x<1",), "math")])
    started = time.monotonic()
    verdicts = judge_all([*asks, *easy])
    assert time.monotonic() - started < 2 * len(hostile)
    assert {verdict.outcome for verdict in verdicts[len(hostile) :]} == {"correct"}
    assert {verdict.outcome for verdict in verdicts[: len(hostile)]} <= {"undecided", "wrong"}
    assert not any(v.outcome == "wrong" for v in verdicts[:6])
    started = time.monotonic()
    assert judge_all([*asks, *easy]) == verdicts
    assert time.monotonic() - started < 2  # remembered, time-outs too


BIG = 100_000
LONG = {
    "blanks": "B" + " " * BIG + "x",
    "lines": "B" + "\n" * BIG + "x",
    "digits": "9" * BIG,
    "thousands": ",123" * (BIG // 4),
    "brackets": "(" * BIG,
    "boxes": r"\boxed{1}, " * (BIG // 11),
    "open boxes": r"\boxed{" * (BIG // 7),
    "markers": "Answer: " * (BIG // 8),
    "hashes": "####\n" * (BIG // 5),
    "stars": "*" * BIG,
    "fractions": r"\frac{1}{" * (BIG // 9),
    "powers": "9^{" * (BIG // 3),
    "slashes": "1/" * (BIG // 2),
    "options": "A. x B. y " * (BIG // 10),
    "refusals": "can not " * (BIG // 8),
    "dates": "1 jan 1 " * (BIG // 8),
    "accents": "e\u0301" * (BIG // 2),
}


@pytest.mark.parametrize("kind", ["auto", "choice", "yesno", "number", "text", "math", "anls", "relaxed"])
@pytest.mark.parametrize("name", LONG)
def test_the_rules_are_quick_with_long_answers_references_and_questions(name: str, kind: str) -> None:
    """They run in this process, where nothing could stop them."""
    gold = {"choice": "B", "yesno": "yes", "number": "5", "relaxed": "5", "math": "x+1"}.get(kind, "apple")
    options = ("red", "blue", "12") if kind == "choice" else ()
    for response, reference, question in (
        (LONG[name], gold, ""),
        (f"Final answer: {LONG[name]}", gold, ""),
        (f"Final answer: {gold}", LONG[name], ""),
        (f"Final answer: {gold}", gold, LONG[name]),
    ):
        started = time.process_time()
        judge(response, (reference,), kind, question, options, anchored=False, algebra="off")
        assert time.process_time() - started < 2


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
