"""Is this response right? `judge` is the whole of it; one file per kind of answer does the comparing.

The order is: find the answer (`extract`), decide what kind the reference is (from the reference and the options alone,
never from a file's or data set's name), compare with every valid reference form. Right for one form is right; wrong
needs all forms to say so; anything else is undecided, with the reason.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Final, Literal, get_args

import msgspec

from pipelines.judging import anls, choice, maths, number, quantity, relaxed, text, yesno
from pipelines.judging.extract import Extraction, extract
from pipelines.judging.kind import kind_of
from pipelines.judging.normalise import operators, plain, words
from pipelines.judging.refusal import is_refusal
from pipelines.judging.verdict import CUT_OFF, EXACT, VERSION, Decision, Outcome, Reason, Tolerance, Verdict
from prefdata.errors import PrefdataError

__all__ = [
    "ANSWER_TYPES",
    "EXACT",
    "VERSION",
    "Extraction",
    "Outcome",
    "Reason",
    "Tolerance",
    "Verdict",
    "extract",
    "judge",
    "kind_of",
]

AnswerType = Literal["auto", "choice", "yesno", "number", "text", "math", "latex", "anls", "relaxed"]
ANSWER_TYPES: Final[tuple[str, ...]] = get_args(AnswerType)
_MAX_ANSWER: Final = 20_000


def judge(
    response: str,
    gold: Sequence[str],
    answer_type: str = "auto",
    question: str = "",
    options: Sequence[str] = (),
    finish_reason: str = "stop",
    *,
    anchored: bool = True,
    tolerance: Tolerance = EXACT,
) -> Verdict:
    """Judge one response against every valid reference form.

    `anchored=True` (what generation asks for): an answer without a marker, box or tag is undecided(format).
    `anchored=False` (predictions of other programs): bold text or the whole text may be the answer.
    Never raises on any text; an unknown `answer_type` is a user error.
    """
    if answer_type not in ANSWER_TYPES:
        raise PrefdataError(
            f"answer_type {answer_type!r} is not known; use one of {', '.join(ANSWER_TYPES)}."
        )
    forms = [form for form in gold if form.strip()]
    if not forms:
        return Verdict(outcome="undecided", rule="gold", reason="gold")
    found = extract(response, bare=not anchored)
    if found is None:
        reason: Reason = "truncated" if finish_reason in CUT_OFF else "format"
        return Verdict(outcome="undecided", rule="extract", reason=reason, gold=forms[0])
    if finish_reason in CUT_OFF and not found.closed:
        return Verdict(
            outcome="undecided",
            rule="extract",
            reason="truncated",
            extracted=found.text,
            gold=forms[0],
            span=(found.start, found.end),
        )
    listed = choice.options_in(question) or tuple(options)
    best: tuple[int, Decision, str, str] | None = None
    for form in forms:
        kind = (
            kind_of(form, listed)
            if answer_type == "auto" or (listed and choice.letters_of(form, listed))
            else answer_type
        )
        decision = _decide(found.text[:_MAX_ANSWER], form, kind, question, listed, tolerance)
        rank = ("correct", "undecided", "wrong").index(decision.outcome)
        if best is None or rank < best[0]:
            best = (rank, decision, form, kind)
        if rank == 0:
            break
    assert best is not None
    _, decision, form, kind = best
    if decision.outcome == "wrong" and finish_reason in CUT_OFF:
        # A response that was cut off might have gone on to correct itself: it is never called wrong.
        decision = msgspec.structs.replace(decision, outcome="undecided", reason="truncated")
    return Verdict(
        outcome=decision.outcome, rule=decision.rule, extracted=found.text, normalised=decision.normalised, gold=form,
        reason=decision.reason, span=(found.start, found.end), answer_type=kind,
    )  # fmt: skip


@lru_cache(maxsize=262_144)
def _decide(
    answer: str,
    gold: str,
    kind: str,
    question: str,
    options: tuple[str, ...],
    tolerance: Tolerance,
) -> Decision:
    """One extracted answer against one form. Remembered: samples of one question share few distinct answers."""
    if kind == "number" and quantity.quantity(gold) is None:
        kind = "math"  # a list or an expression: the row's type was too narrow
    if kind != "choice" and plain(answer) == plain(gold):
        return Decision("correct", "exact", plain(answer)[:200])
    decision = _judges(kind, question, options, tolerance)(answer, gold)
    if decision.outcome == "undecided" and decision.reason in ("nomatch", "gold"):
        if kind == "choice" and answer.strip() == gold.strip():
            return Decision("correct", "exact", plain(answer)[:200])
        if (
            kind not in ("math", "latex")
            and words(answer)
            and words(answer) == words(gold)
            and operators(answer) == operators(gold)
            and "\\" not in answer + gold
        ):
            return Decision("correct", "text-equal", " ".join(words(answer))[:200])
        if kind == "choice" and is_refusal(answer):
            return Decision("undecided", "refusal", plain(answer)[:80], "format")
        # Not for yes or no: `The image does not contain a dog` says no, and so it says 0.
        if kind == "number" and is_refusal(answer) and number.may_deny(answer, gold):
            return Decision("wrong", "refusal", plain(answer)[:80])
    return decision


def _judges(
    kind: str, question: str, options: tuple[str, ...], tolerance: Tolerance
) -> Callable[[str, str], Decision]:
    return {
        "choice": lambda a, g: choice.judge(a, g, options),
        "yesno": yesno.judge,
        "number": lambda a, g: number.judge(a, g, tolerance),
        "math": lambda a, g: maths.judge(a, g, tolerance),
        "latex": lambda a, g: maths.judge(a, g, tolerance),
        "text": lambda a, g: text.judge(a, g, question),
        "anls": anls.judge,
        "relaxed": lambda a, g: relaxed.judge(a, g, tolerance),
    }[kind]
