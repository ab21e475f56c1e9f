"""`--answer-fix`: a right answer spelt as the reference is (`30594` for `30,594`): chosen responses end in one form.

Only a response that was judged correct is touched, only where its answer stands, and the edited response is judged
again: it has to be correct by the very text that was put in. Options are written as upper-case letters. The sample
keeps its own text; the edit is carried beside it, and pairs name it (`meta.answer_fix`).
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from pipelines.judging import Ask, judge_all
from pipelines.judging.verdict import Verdict
from pipelines.model_judge import consulted
from pipelines.pairing import Fix

if TYPE_CHECKING:
    from pipelines.judging.llm import ModelJudge

_NOT_SPELT: Final = frozenset(("regex", "llm"))
"""Kinds whose reference is no spelling of the answer."""


def judge_and_fix(
    asks: Sequence[Ask], fix: bool, model: "ModelJudge | None" = None
) -> list[tuple[Verdict, Fix | None]]:
    """The verdict on each response; with `fix` also the edit that makes its answer the reference's.

    model: is asked what the rules leave open.
    """
    verdicts = judge_all(asks)
    if model is not None:
        verdicts = consulted(asks, verdicts, model)
    edits = {number: to for number, verdict in enumerate(verdicts) if fix and (to := _canonical(verdict))}
    again = judge_all([_edited(asks[number], verdicts[number], to) for number, to in edits.items()])
    fixes = {
        number: Fix(at=_span(verdicts[number]), to=to, verdict=verdict)
        for (number, to), verdict in zip(edits.items(), again, strict=True)
        if verdict.outcome == "correct" and verdict.extracted == to
    }
    return [(verdict, fixes.get(number)) for number, verdict in enumerate(verdicts)]


def _canonical(verdict: Verdict) -> str | None:
    """What a right answer should be spelt as; None where there is nothing to change."""
    if verdict.outcome != "correct" or verdict.gold is None or verdict.answer_type in _NOT_SPELT:
        return None
    to = verdict.gold.strip()
    if verdict.answer_type == "choice" and len(to) == 1:
        to = to.upper()
    return None if to == verdict.extracted or "\n" in to else to


def _edited(ask: Ask, verdict: Verdict, to: str) -> Ask:
    start, end = _span(verdict)
    return msgspec.structs.replace(ask, response=ask.response[:start] + to + ask.response[end:])


def _span(verdict: Verdict) -> tuple[int, int]:
    assert verdict.span is not None
    return verdict.span
