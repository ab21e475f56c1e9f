"""The samples of a question as a run keeps them: lines of the parts, one for each round, and back.

    {"id", "row", "samples": [{"response", "finish_reason", "seed", "verdict", "fix"?, "by"?}], "by", "reference"?}

Later rounds (`id` with the number of their first sample behind a point) leave out `row`: it is that of the first.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from pipelines.judging.verdict import Verdict
from pipelines.pairing import Fix, Judged
from pipelines.rundir import RunDir

_KEPT = ("outcome", "rule", "extracted", "normalised", "gold", "reason", "answer_type")


def brief(verdict: Verdict) -> dict[str, Any]:
    """What of a verdict is kept beside each sample."""
    return {key: value for key in _KEPT if (value := getattr(verdict, key))}


def entry(
    response: str, finish_reason: str, seed: int | None, verdict: Verdict, fix: Fix | None
) -> dict[str, Any]:
    """One sample."""
    kept: dict[str, Any] = {
        "response": response,
        "finish_reason": finish_reason,
        "seed": seed,
        "verdict": brief(verdict),
    }
    if fix is not None:
        kept["fix"] = {"at": fix.at, "to": fix.to, "verdict": brief(fix.verdict)}
    return kept


def drawn(line: dict[str, Any]) -> list[Judged]:
    """The samples of a line."""
    return [
        Judged(
            response=one["response"],
            verdict=msgspec.convert(one["verdict"], Verdict),
            finish_reason=one.get("finish_reason") or "stop",
            seed=one.get("seed"),
            meta=one.get("by") or line.get("by", {}),
            fix=msgspec.convert(one["fix"], Fix) if "fix" in one else None,
        )
        for one in line.get("samples", ())
    ]


def reference(line: dict[str, Any]) -> Judged | None:
    """The right response that the question brought along, where it was asked for."""
    found = line.get("reference")
    if not found or "response" not in found:
        return None
    return Judged(
        response=found["response"], verdict=msgspec.convert(found["verdict"], Verdict), reference=True
    )


def lines_of(run: RunDir, identity: str) -> Iterator[dict[str, Any]]:
    """The finished rounds of one question, in their order."""
    drawn_so_far, key = 0, identity
    while not run.owed(key):
        line = next(run.rows([key]))
        yield line
        drawn_so_far += len(line.get("samples", ()))
        key = f"{identity}.{drawn_so_far}"


def questions(run: RunDir, asked: Sequence[str]) -> Iterator[tuple[dict[str, Any], list[Judged]]]:
    """(first line, all samples) of each question that has any, in the order of `asked`."""
    for identity in asked:
        first: dict[str, Any] = {}
        samples: list[Judged] = []
        for line in lines_of(run, identity):
            first = first or line
            samples += drawn(line)
        if first:
            yield first, samples
