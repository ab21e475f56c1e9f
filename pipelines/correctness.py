"""Correctness pairs: many answers to one question, judged, right paired with wrong.

    questions -> feed(engine), round by round -> judged samples in the run's parts -> result files (`results.py`)

A reply is judged when it arrives and kept together with its verdicts, so what a kill interrupts is one request, and
whether its question is asked again (`rounds.py`) is known at once. `--samples` puts files sampled elsewhere
(`samples.py`) through the same second half.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Any

import msgspec

from pipelines.asking import ask_and_close, fail_unaskable, made_by
from pipelines.canonical import judge_and_fix
from pipelines.drawn import drawn, entry
from pipelines.engines.base import Engine, Reply, Request, Sample
from pipelines.judging import Ask
from pipelines.questions import Asked
from pipelines.rationale import reference_of
from pipelines.rounds import Plan, Rounds
from pipelines.rundir import RunDir
from prefdata.progress import progress


class Judging(msgspec.Struct, frozen=True, kw_only=True):
    """What is done with the answers. fix, force: `--answer-fix` and `--force`."""

    fix: bool = False
    force: bool = False


def ask_of(asked: Asked, response: str, finish_reason: str) -> Ask:
    """What the judge is asked of a response."""
    question = str(asked.row.get("question_orig", ""))
    return Ask(response, asked.gold, asked.answer_type, question, asked.options, finish_reason)


def judged(asked: Asked, samples: Sequence[Sample], how: Judging, *, first: bool) -> dict[str, Any]:
    """The samples of one question with their verdicts; what needs a worker process is asked side by side."""
    asks = [ask_of(asked, one.text, one.finish_reason) for one in samples]
    entries = [
        entry(one.text, one.finish_reason, one.seed, verdict, fix)
        for one, (verdict, fix) in zip(samples, judge_and_fix(asks, how.fix), strict=True)
    ]
    found = reference_of(asked.row, asks[0]) if how.force and first else None
    return {"samples": entries} | ({"reference": found} if found else {})


def sample(
    engine: Engine,
    run: RunDir,
    asked: Sequence[Asked],
    model: str,
    *,
    plan: Plan,
    how: Judging | None = None,
    stall_timeout: float | None = None,
) -> list[str]:
    """Ask the engine everything the run still owes, judging each reply as it comes; returns the keys of all rounds."""
    fail_unaskable(run, asked)
    rounds = Rounds(run, asked, plan)
    if rounds.finished < len(asked):
        asyncio.run(_sample(engine, run, asked, model, rounds, how or Judging(), stall_timeout))
    return rounds.keys()


async def _sample(
    engine: Engine,
    run: RunDir,
    asked: Sequence[Asked],
    model: str,
    rounds: Rounds,
    how: Judging,
    stall_timeout: float | None,
) -> None:
    abilities = await engine.start()
    requests = [rounds.first(one) if one.problem is None else None for one in asked]
    maker = made_by(engine, model, abilities)
    by_id = {one.id: one for one in asked}
    counts: Counter[str] = Counter()
    with progress("sampling", total=len(asked), unit="questions") as shown:
        shown.advance(rounds.finished)

        def handle(request: Request, reply: Reply) -> None:
            one = by_id[request.id]
            finished = True
            if reply.failure is not None:
                run.fail(request.key, one.row, f"engine: {reply.failure}", question=one.id)
            else:
                found = judged(one, reply.samples, how, first=not request.first)
                line = {"id": request.key} | ({} if request.first else {"row": one.row}) | found
                run.append(line | {"by": maker})
                counts.update(sample["verdict"]["outcome"] for sample in found["samples"])
                finished = rounds.take(request, drawn(line))
            shown.advance(int(finished), note=f"{counts['correct']} right, {counts['wrong']} wrong")

        await ask_and_close(
            engine,
            abilities,
            requests,
            run.owed,
            handle,
            prefix=False,
            n=max(request.n for request in requests if request),
            stall_timeout=stall_timeout,
            follow=rounds.follow,
        )
