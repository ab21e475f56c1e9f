"""`--answer-fix`: a right answer spelt as the reference (`30594` for `30,594`): chosen responses end in one form.

Only a response that was judged correct is touched, and only where the rule that judged it means the same value or the
same words: what is near enough, holds the reference or agrees with it is another answer, not another spelling. The
edit is made inside what presents the answer (Markdown, maths delimiters, a full stop), and the edited response is
judged again: it has to be correct by the very text that was put in. Options are written as upper-case letters. The
sample keeps its own text; the edit is carried beside it, and pairs name it (`meta.answer_fix`).
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from pipelines.judging import Ask, judge_all
from pipelines.judging.normalise import unwrap
from pipelines.judging.verdict import Verdict
from pipelines.model_judge import consulted
from pipelines.pairing import Fix

if TYPE_CHECKING:
    from pipelines.judging.llm import ModelJudge

_SAME_WORDS: Final = frozenset(("exact", "text-equal"))
_SAME_VALUE: Final = frozenset(
    (
        *("number", "number-percent", "number-unit", "number-value", "choice"),
        *("text-number", "text-number-percent", "text-number-unit"),
        *("maths-equal", "maths-value", "maths-relation", "maths-list"),
    )
)
_MARKS: Final = re.compile(r"\*+|_+|\$+|`+")


class _Edit(msgspec.Struct, frozen=True):
    """`to` in place of `response[at[0]:at[1]]`; the answer found afterwards is `found`."""

    at: tuple[int, int]
    to: str
    found: str


def judge_and_fix(
    asks: Sequence[Ask], fix: bool, model: "ModelJudge | None" = None
) -> list[tuple[Verdict, Fix | None]]:
    """The verdict on each response; with `fix` also the edit that makes its answer the reference's.

    model: is asked what the rules leave open.
    """
    verdicts = judge_all(asks)
    if model is not None:
        verdicts = consulted(asks, verdicts, model)
    edits = {
        number: edit
        for number, verdict in enumerate(verdicts)
        if fix and (edit := _canonical(asks[number].response, verdict))
    }
    again = judge_all([_edited(asks[number], edit) for number, edit in edits.items()])
    fixes = {
        number: Fix(at=edit.at, to=edit.to, verdict=verdict)
        for (number, edit), verdict in zip(edits.items(), again, strict=True)
        if verdict.outcome == "correct" and verdict.extracted == edit.found
    }
    return [(verdict, fixes.get(number)) for number, verdict in enumerate(verdicts)]


def _canonical(response: str, verdict: Verdict) -> _Edit | None:
    """How a right answer should be spelt; None where there is nothing to change, or nothing that is safe to."""
    if not _is_spelling(verdict):
        return None
    assert verdict.gold is not None
    assert verdict.extracted is not None
    assert verdict.span is not None
    to = verdict.gold.strip()
    if verdict.answer_type == "choice" and len(to) == 1:
        to = to.upper()
    start, end = verdict.span
    core, found = unwrap(verdict.extracted), to
    if core and response.count(core, start, end) == verdict.extracted.count(core) == 1:
        start = response.index(core, start, end)
        end = start + len(core)
        found = verdict.extracted.replace(core, to)
    before = response[start:end]
    if before == to or "\n" in to or _unpaired(before) != _unpaired(to):
        return None
    return _Edit((start, end), to, found)


def _is_spelling(verdict: Verdict) -> bool:
    """Whether the reference is the same answer in another spelling. A number that is `relaxed` may be another one."""
    same = verdict.rule in _SAME_WORDS or (
        verdict.rule in _SAME_VALUE and verdict.answer_type not in ("relaxed", "anls")
    )
    return same and verdict.outcome == "correct"


def _unpaired(text: str) -> set[str]:
    """The Markdown marks and maths delimiters that begin or end in a text but not both."""
    return {mark for mark, count in Counter(_MARKS.findall(text)).items() if count % 2}


def _edited(ask: Ask, edit: _Edit) -> Ask:
    start, end = edit.at
    return msgspec.structs.replace(ask, response=ask.response[:start] + edit.to + ask.response[end:])
