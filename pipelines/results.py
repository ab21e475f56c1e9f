"""The result files of judged samples: pairs, samples, undecided, hard and easy questions, and their counts.

    the run's parts -> samples.jsonl, pairs.jsonl, format_pairs.jsonl, undecided.jsonl, hard.jsonl, easy.jsonl

Everything is read back from the parts in the order of the questions, once per file: memory holds one question at a
time, and the files hold no times and nothing that depends on when a sample came. The price is that a question is
paired again for every file, which is cheap next to judging.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from pipelines.audit import of_samples
from pipelines.engines.base import Sampling
from pipelines.judging import version
from pipelines.judging.verdict import Verdict
from pipelines.pairing import Judged, Paired, pair
from pipelines.questions import source_id
from pipelines.rundir import RunDir
from prefdata import __version__

METHOD: Final = "correctness"
# What the model was asked: whoever trains on a pair has to show the same.
_PROMPT_KEYS: Final = ("image", "system_prompt", "question")
_MAKER_KEYS: Final = ("engine", "model", "model_hash", "template_hash", "sampling")


class Pairing(msgspec.Struct, frozen=True, kw_only=True):
    """How many pairs, from which questions."""

    limit: int = 15
    band: tuple[float, float] = (0.0, 1.0)


def brief(verdict: Verdict) -> dict[str, Any]:
    """What of a verdict is kept beside each sample."""
    full = msgspec.to_builtins(verdict)
    kept = ("outcome", "rule", "extracted", "normalised", "gold", "reason", "answer_type")
    return {key: full[key] for key in kept if full[key]}


def finish(run: RunDir, asked: Sequence[str], how: Pairing, sampling: Sampling | None) -> dict[str, Any]:
    """Write every result file from the parts; returns the counts."""
    made = _Made(run, asked, how, sampling)
    tally = made.count()
    files: dict[str, Iterable[Mapping[str, Any]]] = {
        "samples.jsonl": sample_rows(run, asked, sampling),
        "pairs.jsonl": made.pairs(),
        "format_pairs.jsonl": made.format_pairs(),
        "undecided.jsonl": sample_rows(run, asked, sampling, only="undecided"),
        "hard.jsonl": made.questions("hard"),
        "easy.jsonl": made.questions("easy"),
        "audit.jsonl": of_samples(sample_rows(run, asked, sampling)),
    }
    dropped = run.finish(asked, files, judging=tally)
    return tally | {"dropped": dropped}


def sample_rows(
    run: RunDir, asked: Sequence[str], sampling: Sampling | None, only: str | None = None
) -> Iterator[dict[str, Any]]:
    """The rows of samples.jsonl; of one outcome alone where `only` names it.

    A question without an answer has samples but no verdicts.
    """
    for result in run.rows(asked):
        for index, one in enumerate(_drawn(result)):
            if only is not None and one.verdict.outcome != only:
                continue
            meta = {
                "id": f"{result['id']}-{index}",
                "question_id": result["id"],
                **_source(result),
                **_maker(one, sampling),
                "version": __version__,
                "judge": version(),
            }
            if result["row"].get("answer") is not None:
                meta["verdict"] = brief(one.verdict)
            yield result["row"] | {
                "response": one.response,
                "finish_reason": one.finish_reason,
                "seed": one.seed,
                "meta": meta,
            }


def joined(tallies: Sequence[dict[str, Any]], total: dict[str, Any]) -> dict[str, Any]:
    """The tally of several shards: `total` holds their sums; a mean is weighted by what it is a mean over."""
    gaps = [(tally["length_gap"], tally["paired"]) for tally in tallies if tally["paired"]]
    return total | {
        "length_gap": {
            name: round(sum(gap[name] * paired for gap, paired in gaps) / total["paired"], 6)
            for name in ("before", "after")
            if gaps
        }
    }


class _Made:
    """What the questions of a run gave."""

    def __init__(self, run: RunDir, asked: Sequence[str], how: Pairing, sampling: Sampling | None) -> None:
        self.run, self.asked, self.how, self.sampling = run, asked, how, sampling

    def groups(self) -> Iterator[tuple[dict[str, Any], list[Judged], Paired]]:
        for result in self.run.rows(self.asked):
            if "samples" in result:
                drawn = _drawn(result)
                yield result, drawn, pair(drawn, self.how.limit, self.how.band)

    def count(self) -> dict[str, Any]:
        outcomes: Counter[str] = Counter()
        reasons: Counter[str] = Counter()
        numbers: Counter[str] = Counter()
        gap_all = gap_kept = 0.0
        for _, drawn, paired in self.groups():
            numbers.update(questions=1, samples=len(drawn), duplicates=paired.duplicates)
            numbers.update(pairs=len(paired.pairs), format_pairs=len(paired.format_pairs))
            numbers[paired.side] += 1
            numbers["out_of_band"] += not paired.in_band
            outcomes.update(one.verdict.outcome for one in drawn)
            reasons.update(one.verdict.reason for one in drawn if one.verdict.outcome == "undecided")
            if paired.pairs:
                numbers["paired"] += 1
                right = [len(one.response) for one in drawn if one.verdict.outcome == "correct"]
                wrong = [len(one.response) for one in drawn if one.verdict.outcome == "wrong"]
                gap_all += sum(right) / len(right) - sum(wrong) / len(wrong)
                gap_kept += sum(len(a.response) - len(b.response) for a, b in paired.pairs) / len(
                    paired.pairs
                )
        names = ("questions", "paired", "samples", "pairs", "format_pairs", "duplicates")
        return {
            **{name: numbers[name] for name in names},
            **{name: outcomes[name] for name in ("correct", "wrong", "undecided")},
            "undecided_by_reason": dict(sorted(reasons.items())),
            **{name: numbers[name] for name in ("mixed", "hard", "easy", "open", "out_of_band")},
            # Mean of chosen minus rejected in characters, over questions with pairs: all samples, then those paired.
            "length_gap": {
                "before": round(gap_all / numbers["paired"], 6),
                "after": round(gap_kept / numbers["paired"], 6),
            }
            if numbers["paired"]
            else {},
        }

    def pairs(self) -> Iterator[dict[str, Any]]:
        for result, _, paired in self.groups():
            for index, (chosen, rejected) in enumerate(paired.pairs):
                yield self._pair_row(result, chosen, rejected, f"{result['id']}-{index}", METHOD)

    def format_pairs(self) -> Iterator[dict[str, Any]]:
        for result, _, paired in self.groups():
            for index, (chosen, rejected) in enumerate(paired.format_pairs):
                yield self._pair_row(result, chosen, rejected, f"{result['id']}-f{index}", "format")

    def questions(self, side: str) -> Iterator[dict[str, Any]]:
        """Questions on one side, as they were put in: what hard.jsonl and easy.jsonl hold can be asked again."""
        for result, drawn, paired in self.groups():
            if paired.side == side:
                row = dict(result["row"])
                row["question"] = row.pop("question_orig", row["question"])
                row.pop("prompt_version", None)
                here = Counter(one.verdict.outcome for one in drawn)
                counts = {name: here[name] for name in ("correct", "wrong", "undecided")}
                yield row | {"meta": {"id": result["id"], **_source(result), **counts}}

    def _pair_row(
        self, result: dict[str, Any], chosen: Judged, rejected: Judged, identity: str, method: str
    ) -> dict[str, Any]:
        asked = result["row"]
        row = {key: asked[key] for key in _PROMPT_KEYS if asked.get(key) not in (None, "", [])}
        sides = {"chosen": chosen, "rejected": rejected}
        row |= {name: side.response for name, side in sides.items()}
        row["answer_gt"] = asked.get("answer")
        one, other = (_maker(side, self.sampling) for side in sides.values())
        meta = {
            "id": identity,
            **_source(result),
            "method": method,
            # Files sampled elsewhere may hold several models: where the sides differ, each is named.
            **{
                key: one[key] if one[key] == other[key] else {"chosen": one[key], "rejected": other[key]}
                for key in _MAKER_KEYS
            },
            "seed": {name: side.seed for name, side in sides.items()},
            "finish_reason": {name: side.finish_reason for name, side in sides.items()},
            "verdicts": {name: brief(side.verdict) for name, side in sides.items()},
            "version": __version__,
            "judge": version(),
        }
        small = {
            name + "_meta": {"answer": side.verdict.extracted, "rule": side.verdict.rule}
            for name, side in sides.items()
        }
        return row | {"meta": meta} | small


def _drawn(result: dict[str, Any]) -> list[Judged]:
    return [
        Judged(
            response=entry["response"],
            verdict=msgspec.convert(entry["verdict"], Verdict),
            finish_reason=entry.get("finish_reason") or "stop",
            seed=entry.get("seed"),
            meta=entry.get("by") or result.get("by", {}),
        )
        for entry in result.get("samples", ())
    ]


def _maker(one: Judged, sampling: Sampling | None) -> dict[str, Any]:
    made_by = {"sampling": msgspec.to_builtins(sampling) if sampling is not None else {}} | one.meta
    return {key: made_by.get(key) for key in _MAKER_KEYS}


def _source(result: dict[str, Any]) -> dict[str, Any]:
    found = source_id(result["row"])
    return {} if found is None else {"source_id": found}
