"""Correctness pairs: many answers to one question, judged, right paired with wrong.

    questions -> feed(engine) -> judged samples in the run's parts -> result files (`results.py`)

A reply is judged when it arrives and kept together with its verdicts, so what a kill interrupts is one request.
`--samples` puts files sampled elsewhere (`samples.py`) through the same second half.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence

from pipelines.engines.base import Engine, Reply, Request, Sample
from pipelines.feed import feed
from pipelines.judging import Ask, judge_all
from pipelines.judging.choice import options_in
from pipelines.judging.verdict import Verdict
from pipelines.probe import probe
from pipelines.questions import Asked
from pipelines.results import brief
from pipelines.rundir import RunDir
from prefdata.progress import progress


def judged(asked: Asked, drawn: Sequence[Sample]) -> list[Verdict]:
    """The verdicts on the samples of one question; what needs a worker process is asked side by side."""
    question = str(asked.row.get("question_orig", ""))
    options = asked.options or options_in(question)
    return judge_all(
        [Ask(one.text, asked.gold, asked.answer_type, question, options, one.finish_reason) for one in drawn]
    )


def sample(
    engine: Engine,
    run: RunDir,
    asked: Sequence[Asked],
    model: str,
    *,
    in_flight: int,
    stall_timeout: float | None = None,
) -> None:
    """Ask the engine everything the run still owes, judging each reply as it comes."""
    for one in asked:
        if one.problem is not None and run.owed(one.id):
            run.fail(one.id, one.row, one.problem)
    if any(one.problem is None and run.owed(one.id) for one in asked):
        asyncio.run(_sample(engine, run, asked, model, in_flight, stall_timeout))


async def _sample(
    engine: Engine,
    run: RunDir,
    asked: Sequence[Asked],
    model: str,
    in_flight: int,
    stall_timeout: float | None,
) -> None:
    abilities = await engine.start()
    requests = [one.request if one.problem is None else None for one in asked]
    made_by = {
        "engine": engine.name,
        "model": model,
        "model_hash": abilities.model_hash,
        "template_hash": abilities.template_hash,
    }
    by_id = {one.id: one for one in asked}
    counts: Counter[str] = Counter()
    with progress("sampling", total=len(asked), unit="questions") as shown:
        shown.advance(sum(one.problem is not None or not run.owed(one.id) for one in asked))

        def handle(request: Request, reply: Reply) -> None:
            one = by_id[request.id]
            if reply.failure is not None:
                run.fail(request.id, one.row, f"engine: {reply.failure}")
            else:
                samples = []
                for drawn, verdict in zip(reply.samples, judged(one, reply.samples), strict=True):
                    counts[verdict.outcome] += 1
                    samples.append(
                        {
                            "response": drawn.text,
                            "finish_reason": drawn.finish_reason,
                            "seed": drawn.seed,
                            "verdict": brief(verdict),
                        }
                    )
                run.append({"id": request.id, "row": one.row, "samples": samples, "by": made_by})
            shown.advance(note=f"{counts['correct']} right, {counts['wrong']} wrong")

        try:
            await probe(
                engine,
                abilities,
                images=any(request.images for request in requests if request),
                prefix=False,
                n=max(one.request.n for one in asked),
            )
            await feed(engine, requests, run.owed, handle, in_flight=in_flight, stall_timeout=stall_timeout)
        finally:
            await engine.close()
