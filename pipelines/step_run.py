"""One `step-scores` run from its flags: responses, continuations from step to step, result files and card."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pipelines.asking import ask_and_close, fail_unaskable, made_by
from pipelines.correctness import Judging, ask_of, judged
from pipelines.engines import make_engine
from pipelines.engines.base import Engine, Reply, Request
from pipelines.feed import shard
from pipelines.judging import judge_all, version
from pipelines.output import checkpoint_name, exit_code, pinned, run_path, write_card
from pipelines.questions import Asked, judgeable, rehearse_questions, template_of
from pipelines.result_files import result_files
from pipelines.rundir import RunDir
from pipelines.step_rows import orm_row, prm_row, steps_row
from pipelines.step_walk import Walk, counted, question_of
from prefdata.errors import PrefdataError
from prefdata.progress import progress, say

if TYPE_CHECKING:
    from pipelines.cli.step_scores import Config

_WHAT: Final = """How far each step of a model's own solutions leads to the right result: each solution was continued
several times from there, and `score` is the share of continuations that came right, judged by rules (`{version}`)."""
_CAVEATS: Final = """A score is an estimate from few continuations. A step whose continuations could not be decided has
the score null, and `prm.jsonl` ends before it. A step without an error can have a low score on a hard question."""
_COUNTED: Final = ("responses", "repeated", "steps", "scored", "good", "continuations")
_FILES: Final = {
    "steps.jsonl": "responses with their scored steps",
    "prm.jsonl": "the steps as turns to answer with + or -",
    "orm.jsonl": "whole responses to answer with + or -",
    "dropped.jsonl": "what was left out, and why",
    "run.json": "versions and hashes",
}


def run(config: "Config") -> int | None:
    """Do the run, print its counts, and put one JSON line on standard output."""
    source = Path(config.prompt_path)
    engine = make_engine(config)
    asked = shard(judgeable(config, source), *config.shard_of, engine.batch_size)
    if any(one.answer_type == "llm" for one in asked):
        raise PrefdataError(f"{source}: answer_type llm needs a model as judge, which step-scores has not.")
    if config.dry_run:
        rehearse_questions(engine, asked, config.price_per_mtok)
        return None
    settings, inputs = pinned(config, "step-scores", source)
    settings["judge"] = version()
    # They decide what is written, not what is asked: the same run is written again with others.
    written = {key: settings.pop(key) for key in ("mc_threshold", "include_orm_data")}
    path = run_path(config.out_dir, config.checkpoint, source, f"_{config.version}_steps", config.shard_of)
    with RunDir.open(path, settings, inputs) as rundir:
        rundir.manifest["written"] = written
        walk = Walk(rundir, asked, config.plan)
        _sample(engine, rundir, asked, walk, config)
        counts = _finish(rundir, asked, walk, config)
    describe(path, settings | written, counts, path.name)
    found = counts["scoring"]
    say(
        f"{found['responses']} responses of {len(asked)} questions ({found['repeated']} more said the same): "
        f"{found['scored']} of {found['steps']} steps scored, {found['good']} of them above {config.mc_threshold}, "
        f"from {found['continuations']} continuations"
    )
    if counts["dropped"]:
        say("dropped: " + ", ".join(f"{count} {reason}" for reason, count in counts["dropped"].items()))
    say(f"wrote {path}")
    result = {"run": str(path), "steps": str(path / "steps.jsonl"), "prm": str(path / "prm.jsonl")}
    result |= {"scoring": found, "dropped": counts["dropped"]}
    sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    return exit_code(rundir, asked=len(asked), pairs=found["scored"])


def describe(path: Path, settings: Mapping[str, Any], counts: Mapping[str, Any], name: str) -> None:
    """Write the card of a finished run that is called `name`; counts as in its run.json."""
    scoring = {key: counts["scoring"][key] for key in _COUNTED}
    shown = {"rows": counts["steps"], **scoring, "dropped": counts["dropped"]}
    write_card(path, _WHAT.format(version=settings["judge"]), shown, settings, _CAVEATS, name, files=_FILES)


def _sample(engine: Engine, rundir: RunDir, asked: Sequence[Asked], walk: Walk, config: "Config") -> None:
    fail_unaskable(rundir, asked)
    open_ones = sum(one.problem is None and _is_open(rundir, walk, one) for one in asked)
    if open_ones:
        asyncio.run(_ask(engine, rundir, asked, walk, config, finished=len(asked) - open_ones))


async def _ask(
    engine: Engine, rundir: RunDir, asked: Sequence[Asked], walk: Walk, config: "Config", *, finished: int
) -> None:
    abilities = await engine.start()
    maker = made_by(engine, checkpoint_name(config.checkpoint), abilities)
    by_id = {one.id: one for one in asked}
    counts: Counter[str] = Counter()
    with progress("scoring steps", total=len(asked), unit="questions") as shown:
        shown.advance(finished)

        def handle(request: Request, reply: Reply) -> None:
            one = by_id[question_of(request.id)]
            if reply.failure is not None:
                rundir.fail(request.key, one.row, f"engine: {reply.failure}", question=one.id)
            elif request.id == one.id:
                rundir.append(
                    {"id": one.id, "row": one.row}
                    | judged(one, reply.samples, Judging(), first=False)
                    | {"by": maker}
                )
            else:
                outcomes = _outcomes(one, request, reply)
                counts.update(outcomes)
                rundir.append({"id": request.key, "counts": counted(outcomes)})
            note = f"{counts['correct']} right, {counts['wrong']} wrong"
            shown.advance(int(walk.after(request) is None), note=note)

        await ask_and_close(
            engine,
            abilities,
            [walk.first(one) if one.problem is None else None for one in asked],
            rundir.owed,
            handle,
            prefix=True,
            n=max(config.num_return_sequences, config.num_mc_sequences),
            stall_timeout=config.stall_timeout or None,
            follow=walk.follow,
        )


def _is_open(rundir: RunDir, walk: Walk, one: Asked) -> bool:
    return any(rundir.owed(request.key) for request in walk.requests(one))


def _outcomes(one: Asked, request: Request, reply: Reply) -> list[str]:
    """The verdicts on the continuations, each with what it continues."""
    asks = [ask_of(one, request.prefix + made.text, made.finish_reason) for made in reply.samples]
    return [verdict.outcome for verdict in judge_all(asks)]


def _finish(rundir: RunDir, asked: Sequence[Asked], walk: Walk, config: "Config") -> dict[str, Any]:
    """Write the result files from the parts; returns the counts."""
    keys = [request.key for one in asked for request in walk.requests(one)]
    rundir.complete(keys)
    counts = Counter(dict.fromkeys(_COUNTED, 0))
    names = ("steps", "prm", *(("orm",) if config.include_orm_data else ()))
    if not config.include_orm_data:
        (rundir.path / "orm.jsonl").unlink(missing_ok=True)
    with result_files(rundir.path, names) as (write, lengths):
        for name, row in _rows(asked, walk, config, counts):
            if name in lengths:
                write(name, row)
    dropped = rundir.finish(keys, {}, **lengths, scoring=dict(counts))
    return {**lengths, "scoring": dict(counts), "dropped": dropped}


def _rows(
    asked: Sequence[Asked], walk: Walk, config: "Config", counts: Counter[str]
) -> Iterator[tuple[str, dict[str, Any]]]:
    template = template_of(config)
    for one in asked:
        for line, index, response, scored in walk.results(one):
            if scored is None:
                counts["repeated"] += 1
                continue
            row = steps_row(line, index, response, scored, config.sampling(), config.num_mc_sequences)
            known = [step.score for step in scored if step.score is not None]
            counts.update(
                responses=1,
                steps=len(scored),
                scored=len(known),
                good=sum(score > config.mc_threshold for score in known),
                continuations=sum(step.decided + step.undecided for step in scored),
            )
            yield "steps", row
            for name, made in (
                ("prm", prm_row(row, template, config.mc_threshold)),
                ("orm", orm_row(row, template)),
            ):
                if made is not None:
                    yield name, made
