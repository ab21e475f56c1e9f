"""Correctness pairs: many answers to one question, judged, right paired with wrong.

    questions -> feed(engine) -> judged samples in the run's parts -> samples.jsonl, pairs.jsonl, ...

A reply is judged when it arrives and kept together with its verdicts, so what a kill interrupts is one request.
The result files are written from the parts at the end, in the order of the questions: they hold no times and nothing
that depends on when a sample came. `--samples` puts files sampled elsewhere through the same second half.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from pipelines.engines.base import Engine, Reply, Request, Sampling
from pipelines.feed import feed
from pipelines.judging import VERSION, judge
from pipelines.judging.choice import options_in
from pipelines.judging.verdict import Verdict
from pipelines.pairing import Judged, Paired, pair
from pipelines.probe import probe
from pipelines.questions import Asked
from pipelines.rundir import RunDir
from prefdata import __version__
from prefdata.progress import progress

METHOD: Final = "correctness"
_ROW_KEYS: Final = ("image", "question")


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """How many pairs, from which questions."""

    limit: int = 15
    band: tuple[float, float] = (0.0, 1.0)


def judged(asked: Asked, response: str, finish_reason: str) -> Verdict:
    """The verdict on one response to one question."""
    options = asked.options or options_in(str(asked.row.get("question_orig", "")))
    question = str(asked.row.get("question_orig", ""))
    return judge(response, asked.gold, asked.answer_type, question, options, finish_reason)


def sample(engine: Engine, run: RunDir, asked: Sequence[Asked], model: str, *, in_flight: int) -> None:
    """Ask the engine everything the run still owes, judging each reply as it comes."""
    for one in asked:
        if one.problem is not None and run.owed(one.id):
            run.drop(one.id, one.row, one.problem)
    askable = [one for one in asked if one.problem is None]
    if not any(run.owed(one.id) for one in askable):
        return
    asyncio.run(_sample(engine, run, askable, model, in_flight))


async def _sample(engine: Engine, run: RunDir, asked: Sequence[Asked], model: str, in_flight: int) -> None:
    abilities = await engine.start()
    pictures = any(one.request.images for one in asked)
    made_by = {
        "engine": engine.name,
        "model": model,
        "model_hash": abilities.model_hash,
        "template_hash": abilities.template_hash,
    }
    by_id = {one.id: one for one in asked}
    counts: Counter[str] = Counter()
    with progress("sampling", total=len(asked), unit="questions") as shown:
        shown.advance(sum(not run.owed(one.id) for one in asked))

        def handle(request: Request, reply: Reply) -> None:
            one = by_id[request.id]
            if reply.error is not None:
                run.drop(request.id, one.row, f"engine: {reply.error}")
            else:
                samples = []
                for drawn in reply.samples:
                    verdict = judged(one, drawn.text, drawn.finish_reason)
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
                engine, abilities, images=pictures, prefix=False, n=max(one.request.n for one in asked)
            )
            await feed(engine, [one.request for one in asked], run.owed, handle, in_flight=in_flight)
        finally:
            await engine.close()


def brief(verdict: Verdict) -> dict[str, Any]:
    """What of a verdict is kept beside each sample."""
    full = msgspec.to_builtins(verdict)
    kept = ("outcome", "rule", "extracted", "normalised", "gold", "reason", "answer_type")
    return {key: full[key] for key in kept if full[key]}


def finish(run: RunDir, asked: Sequence[str], how: Pairing, sampling: Sampling | None) -> dict[str, Any]:
    """Write every result file from the parts; returns the counts."""
    made = _Made(run, asked, how, sampling)
    made.count()
    files: dict[str, Iterable[Mapping[str, Any]]] = {
        "samples.jsonl": made.samples(),
        "pairs.jsonl": made.pairs(),
        "format_pairs.jsonl": made.format_pairs(),
        "undecided.jsonl": made.undecided(),
        "hard.jsonl": made.sided["hard"],
        "easy.jsonl": made.sided["easy"],
    }
    dropped = run.finish(asked, files, judging=made.tally)
    return made.tally | {"dropped": dropped}


def joined(tallies: Sequence[dict[str, Any]], total: dict[str, Any]) -> dict[str, Any]:
    """The tally of several shards: `total` holds their sums; a mean is weighted by what it is a mean over."""
    gaps = [(tally["length_gap"], tally["mixed"]) for tally in tallies if tally["mixed"]]
    return total | {
        "length_gap": {
            name: round(sum(gap[name] * mixed for gap, mixed in gaps) / total["mixed"], 6)
            for name in ("before", "after")
            if gaps
        }
    }


class _Made:
    """The results of a run, read from its parts once per file, so that memory holds one question at a time."""

    def __init__(self, run: RunDir, asked: Sequence[str], how: Pairing, sampling: Sampling | None) -> None:
        self.run, self.asked, self.how = run, asked, how
        self.sampling = msgspec.to_builtins(sampling) if sampling is not None else {}
        self.sided: dict[str, list[dict[str, Any]]] = {"hard": [], "easy": []}
        self.tally: dict[str, Any] = {}

    def groups(self) -> Iterator[tuple[dict[str, Any], list[Judged], Paired]]:
        for result in self.run.rows(self.asked):
            if "samples" not in result:
                continue
            drawn = [_judged_from(entry, result.get("by", {})) for entry in result["samples"]]
            yield result, drawn, pair(drawn, self.how.limit, self.how.band)

    def count(self) -> None:
        outcomes: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        numbers: Counter[str] = Counter()
        gap_all = gap_kept = 0.0
        for result, drawn, paired in self.groups():
            numbers.update(questions=1, samples=len(drawn), duplicates=paired.duplicates)
            numbers.update(pairs=len(paired.pairs), format_pairs=len(paired.format_pairs))
            numbers[paired.side] += 1
            numbers["out_of_band"] += not paired.in_band
            here = Counter(one.verdict.outcome for one in drawn)
            outcomes.update(here)
            reasons.update(one.verdict.reason for one in drawn if one.verdict.outcome == "undecided")
            if paired.side in self.sided:
                counts = {name: here[name] for name in ("correct", "wrong", "undecided")}
                self.sided[paired.side].append(
                    _question_row(result) | {"meta": {"id": result["id"], **counts}}
                )
            if paired.pairs:
                right = [len(one.response) for one in drawn if one.verdict.outcome == "correct"]
                wrong = [len(one.response) for one in drawn if one.verdict.outcome == "wrong"]
                gap_all += sum(right) / len(right) - sum(wrong) / len(wrong)
                gap_kept += sum(len(a.response) - len(b.response) for a, b in paired.pairs) / len(
                    paired.pairs
                )
        mixed = numbers["mixed"]
        self.tally = {
            **{
                name: numbers[name]
                for name in ("questions", "samples", "pairs", "format_pairs", "duplicates")
            },
            **{name: outcomes[name] for name in ("correct", "wrong", "undecided")},
            "undecided_by_reason": dict(sorted(reasons.items())),
            **{name: numbers[name] for name in ("mixed", "hard", "easy", "open", "out_of_band")},
            # Mean of chosen minus rejected in characters, over mixed questions: all samples, then those paired.
            "length_gap": {"before": round(gap_all / mixed, 6), "after": round(gap_kept / mixed, 6)}
            if mixed
            else {},
        }

    def samples(self) -> Iterator[dict[str, Any]]:
        for result, drawn, _ in self.groups():
            for index, one in enumerate(drawn):
                yield self._sample_row(result, one, index)

    def undecided(self) -> Iterator[dict[str, Any]]:
        for result, drawn, _ in self.groups():
            for index, one in enumerate(drawn):
                if one.verdict.outcome == "undecided":
                    yield self._sample_row(result, one, index)

    def pairs(self) -> Iterator[dict[str, Any]]:
        for result, _, paired in self.groups():
            for index, (chosen, rejected) in enumerate(paired.pairs):
                yield self._pair_row(result, chosen, rejected, f"{result['id']}-{index}", METHOD)

    def format_pairs(self) -> Iterator[dict[str, Any]]:
        for result, _, paired in self.groups():
            for index, (chosen, rejected) in enumerate(paired.format_pairs):
                yield self._pair_row(result, chosen, rejected, f"{result['id']}-f{index}", "format")

    def _sample_row(self, result: dict[str, Any], one: Judged, index: int) -> dict[str, Any]:
        row: dict[str, Any] = dict(result["row"])
        row |= {"response": one.response, "finish_reason": one.finish_reason, "seed": one.seed}
        meta = {
            "id": f"{result['id']}-{index}",
            "question_id": result["id"],
            **self._maker(one),
            "version": __version__,
            "judge": VERSION,
        }
        return row | {"meta": meta | {"verdict": brief(one.verdict)}}

    def _pair_row(
        self, result: dict[str, Any], chosen: Judged, rejected: Judged, identity: str, method: str
    ) -> dict[str, Any]:
        row = {key: result["row"][key] for key in _ROW_KEYS if result["row"].get(key) not in (None, "", [])}
        sides = {"chosen": chosen, "rejected": rejected}
        row |= {name: side.response for name, side in sides.items()}
        row["answer_gt"] = result["row"].get("answer")
        meta = {
            "id": identity,
            "method": method,
            **self._maker(chosen),
            "seed": {name: side.seed for name, side in sides.items()},
            "finish_reason": {name: side.finish_reason for name, side in sides.items()},
            "verdicts": {name: brief(side.verdict) for name, side in sides.items()},
            "version": __version__,
            "judge": VERSION,
        }
        small = {
            name + "_meta": {"answer": side.verdict.extracted, "rule": side.verdict.rule}
            for name, side in sides.items()
        }
        return row | {"meta": meta} | small

    def _maker(self, one: Judged) -> dict[str, Any]:
        kept = ("engine", "model", "model_hash", "template_hash", "sampling")
        made_by = {"sampling": self.sampling} | one.meta
        return {key: made_by.get(key) for key in kept}


def _judged_from(entry: dict[str, Any], made_by: dict[str, Any]) -> Judged:
    return Judged(
        response=entry["response"],
        verdict=msgspec.convert(entry["verdict"], Verdict),
        finish_reason=entry.get("finish_reason") or "stop",
        seed=entry.get("seed"),
        meta=entry.get("by") or made_by,
    )


def _question_row(result: dict[str, Any]) -> dict[str, Any]:
    """The question as it was put in: what hard.jsonl and easy.jsonl hold can be asked again."""
    row: dict[str, Any] = dict(result["row"])
    row["question"] = row.pop("question_orig", row["question"])
    row.pop("prompt_version", None)
    return row
