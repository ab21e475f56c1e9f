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

from pipelines.canonical import judge_and_fix
from pipelines.drawn import drawn, entry
from pipelines.engines.base import Engine, Reply, Request, Sample
from pipelines.feed import feed
from pipelines.judging import Ask
from pipelines.judging.choice import options_in
from pipelines.probe import probe
from pipelines.questions import Asked
from pipelines.rationale import reference_of
from pipelines.rounds import Plan, Rounds
from pipelines.rundir import RunDir
from prefdata.progress import progress


class Judging(msgspec.Struct, frozen=True, kw_only=True):
    """What is done with the answers. fix, force: `--answer-fix` and `--force`."""

    fix: bool = False
    force: bool = False


def judged(asked: Asked, samples: Sequence[Sample], how: Judging, *, first: bool) -> dict[str, Any]:
    """The samples of one question with their verdicts; what needs a worker process is asked side by side."""
    question = str(asked.row.get("question_orig", ""))
    options = asked.options or options_in(question)
    asks = [
        Ask(one.text, asked.gold, asked.answer_type, question, options, one.finish_reason) for one in samples
    ]
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
    in_flight: int,
    stall_timeout: float | None = None,
) -> list[str]:
    """Ask the engine everything the run still owes, judging each reply as it comes; returns the keys of all rounds."""
    for one in asked:
        if one.problem is not None and run.owed(one.id):
            run.fail(one.id, one.row, one.problem)
    rounds = Rounds(run, asked, plan)
    if rounds.finished < len(asked):
        asyncio.run(_sample(engine, run, asked, model, rounds, how or Judging(), in_flight, stall_timeout))
    return rounds.keys()


async def _sample(
    engine: Engine,
    run: RunDir,
    asked: Sequence[Asked],
    model: str,
    rounds: Rounds,
    how: Judging,
    in_flight: int,
    stall_timeout: float | None,
) -> None:
    abilities = await engine.start()
    requests = [rounds.first(one) if one.problem is None else None for one in asked]
    made_by = {
        "engine": engine.name,
        "model": model,
        "model_hash": abilities.model_hash,
        "template_hash": abilities.template_hash,
    }
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
                run.append(line | {"by": made_by})
                counts.update(sample["verdict"]["outcome"] for sample in found["samples"])
                finished = rounds.take(request, drawn(line))
            shown.advance(int(finished), note=f"{counts['correct']} right, {counts['wrong']} wrong")

        try:
            await probe(
                engine,
                abilities,
                images=any(request.images for request in requests if request),
                prefix=False,
                n=max(request.n for request in requests if request),
            )
            await feed(
                engine,
                requests,
                run.owed,
                handle,
                in_flight=in_flight,
                stall_timeout=stall_timeout,
                follow=rounds.follow,
            )
        finally:
            await engine.close()
