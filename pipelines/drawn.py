"""The samples of a question as a run keeps them: lines of the parts, one for each round, and back.

    {"id", "row", "samples": [{"response", "finish_reason", "seed", "verdict", "fix"?, "by"?}], "by", "reference"?}

People look into these files, and some edit them: a line that a run cannot have written is named, not guessed at.
Later rounds (`id` with the number of their first sample behind a point) leave out `row`: it is that of the first.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from pipelines.judging.verdict import Verdict
from pipelines.pairing import Fix, Judged
from pipelines.rundir import RunDir, unusable

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


class _Sample(msgspec.Struct, gc=False):
    response: str
    verdict: Verdict
    finish_reason: str | None = None
    seed: int | None = None
    by: dict[str, Any] | None = None
    fix: Fix | None = None


class _Reference(msgspec.Struct, gc=False):
    response: str | None = None
    verdict: Verdict | None = None
    refused: str = ""


class _Line(msgspec.Struct, gc=False):
    row: dict[str, Any] | None = None
    samples: list[_Sample] = []
    by: dict[str, Any] = {}
    reference: _Reference | None = None
    judge: str | None = None


def drawn(line: dict[str, Any]) -> list[Judged]:
    """The samples of a line. Raises msgspec.ValidationError where it is none of ours."""
    found = msgspec.convert(line, _Line)
    return [
        Judged(
            response=one.response,
            verdict=one.verdict,
            finish_reason=one.finish_reason or "stop",
            seed=one.seed,
            meta=one.by or found.by,
            fix=one.fix,
        )
        for one in found.samples
    ]


def reference(line: dict[str, Any]) -> Judged | None:
    """The right response that the question brought along, where it was asked for."""
    found = msgspec.convert(line, _Line).reference
    if found is None or found.response is None or found.verdict is None:
        return None
    return Judged(response=found.response, verdict=found.verdict, reference=True)


def kept(run: RunDir, identity: str, *, first: bool = True) -> tuple[dict[str, Any], list[Judged]]:
    """The line of a finished round, and its samples. first: it is the question's first round, which holds its row.

    Raises PrefdataError where the line is not as a run writes it.
    """
    line = next(run.rows([identity]))
    try:
        samples = drawn(line)
    except msgspec.ValidationError as error:
        raise unusable(run, identity, error) from error
    if first and line.get("row") is None:
        raise unusable(run, identity, "it holds no `row`")
    return line, samples


def lines_of(run: RunDir, identity: str) -> Iterator[tuple[dict[str, Any], list[Judged]]]:
    """The finished rounds of one question with their samples, in their order."""
    drawn_so_far, key = 0, identity
    while not run.owed(key):
        line, samples = kept(run, key, first=key == identity)
        yield line, samples
        drawn_so_far += len(samples)
        key = f"{identity}.{drawn_so_far}"


def questions(run: RunDir, asked: Sequence[str]) -> Iterator[tuple[dict[str, Any], list[Judged]]]:
    """(first line, all samples) of each question that has any, in the order of `asked`."""
    for identity in asked:
        first: dict[str, Any] = {}
        together: list[Judged] = []
        for line, samples in lines_of(run, identity):
            first = first or line
            together += samples
        if first:
            yield first, together
