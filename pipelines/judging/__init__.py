"""Is this response right? `judge` is the whole of it; one file per kind of answer does the comparing.

The order is: find the answer (`extract`), decide what kind the reference is (from the reference and the options alone,
never from a file's or data set's name), compare with every valid reference form. Right for one form is right; wrong
needs all forms to say so; anything else is undecided, with the reason. What may run for ever is asked of killable
processes (`outside.py`); `judge_all` asks for many responses at once, so that these work side by side.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Final

import msgspec

from pipelines.judging import anls, choice, maths, number, quantity, relaxed, text, vqa, yesno
from pipelines.judging.extract import Extraction, extract
from pipelines.judging.kind import kind_of
from pipelines.judging.normalise import operators, plain, words
from pipelines.judging.outside import Algebra, Outside, version
from pipelines.judging.refusal import is_refusal
from pipelines.judging.verdict import CUT_OFF, EXACT, VERSION, Decision, Outcome, Reason, Tolerance, Verdict
from prefdata.errors import PrefdataError

__all__ = [
    "ANSWER_TYPES",
    "EXACT",
    "VERSION",
    "Ask",
    "Extraction",
    "Outcome",
    "Reason",
    "Tolerance",
    "Verdict",
    "extract",
    "judge",
    "judge_all",
    "kind_of",
    "version",
]

ANSWER_TYPES: Final = (
    *("auto", "choice", "yesno", "number", "text", "math", "latex", "anls", "relaxed", "vqa", "regex", "llm"),
)
_AS_GIVEN: Final = (
    "vqa",
    "regex",
    "llm",
)  # options or the reference's looks never turn these into another type
_MAX_ANSWER: Final = 20_000
_KINDEST: Final[dict[Outcome, int]] = {"correct": 0, "undecided": 1, "wrong": 2}


class Ask(msgspec.Struct, frozen=True):
    """One response to judge against every valid reference form."""

    response: str
    gold: tuple[str, ...]
    answer_type: str = "auto"
    question: str = ""
    options: tuple[str, ...] = ()
    finish_reason: str = "stop"


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
    algebra: Algebra = "auto",
) -> Verdict:
    """Judge one response against every valid reference form.

    `anchored=True` (what generation asks for): an answer without a marker, box or tag is undecided(format).
    `anchored=False` (predictions of other programs): bold text or the whole text may be the answer.
    `algebra`: whether math-verify is asked what the rules leave open: where it is installed, always, or never.
    Never raises on any text; an unknown `answer_type` is a user error.
    """
    ask = Ask(response, tuple(gold), answer_type, question, tuple(options), finish_reason)
    return judge_all((ask,), anchored=anchored, tolerance=tolerance, algebra=algebra)[0]


def judge_all(
    asks: Sequence[Ask], *, anchored: bool = True, tolerance: Tolerance = EXACT, algebra: Algebra = "auto"
) -> list[Verdict]:
    """The verdicts on many responses, as `judge` gives them; what needs a worker process is asked together."""
    outside = Outside(algebra)
    verdicts = []
    unfinished = []
    for number_, ask in enumerate(asks):
        verdicts.append(_judge(ask, anchored, tolerance, outside))
        if outside.asked():
            unfinished.append(number_)
    if outside.answer():
        for number_ in unfinished:
            verdicts[number_] = _judge(asks[number_], anchored, tolerance, outside)
    return verdicts


def _judge(ask: Ask, anchored: bool, tolerance: Tolerance, outside: Outside) -> Verdict:
    if ask.answer_type not in ANSWER_TYPES:
        raise PrefdataError(
            f"answer_type {ask.answer_type!r} is not known; use one of {', '.join(ANSWER_TYPES)}."
        )
    forms = _forms(ask.gold)
    if not forms:
        return Verdict(outcome="undecided", rule="gold", reason="gold")
    found = extract(ask.response, bare=not anchored)
    cut_off = ask.finish_reason in CUT_OFF
    if found is None:
        reason: Reason = "truncated" if cut_off else "format"
        return Verdict(outcome="undecided", rule="extract", reason=reason, gold=forms[0])
    if cut_off and not found.closed:
        return Verdict(
            outcome="undecided",
            rule="extract",
            reason="truncated",
            extracted=found.text,
            gold=forms[0],
            span=(found.start, found.end),
        )
    decision, form, kind = _best(ask, forms, found.text[:_MAX_ANSWER], tolerance, outside)
    if decision.outcome == "wrong" and cut_off:
        # A response that was cut off might have gone on to correct itself: it is never called wrong.
        decision = msgspec.structs.replace(decision, outcome="undecided", reason="truncated")
    return Verdict(
        outcome=decision.outcome, rule=decision.rule, extracted=found.text, normalised=decision.normalised, gold=form,
        reason=decision.reason, span=(found.start, found.end), answer_type=kind,
    )  # fmt: skip


def _best(
    ask: Ask, forms: Sequence[str], answer: str, tolerance: Tolerance, outside: Outside
) -> tuple[Decision, str, str]:
    """(decision, reference form, kind) of the form that is kindest to the answer."""
    if ask.answer_type == "vqa":
        return vqa.judge(answer, forms, ask.question), Counter(forms).most_common(1)[0][0], "vqa"
    listed = options_of(ask)
    best: tuple[int, Decision, str, str] | None = None
    for form in dict.fromkeys(forms):
        kind = kind_for(ask, form, listed)
        decision = _decide(answer, form, kind, ask.question, listed, tolerance)
        if decision.outcome == "undecided":
            decision = outside.look(answer, form, kind, tolerance, decision)
        rank = _KINDEST[decision.outcome]
        if rank == 0:
            return decision, form, kind
        if best is None or rank < best[0]:
            best = (rank, decision, form, kind)
    assert best is not None
    return best[1:]


@lru_cache(maxsize=4096)
def _forms(gold: tuple[str, ...]) -> tuple[str, ...]:
    """The valid forms; for `vqa` equal ones are counted, so they stay."""
    return tuple(form for form in gold if form.strip())


def options_of(ask: Ask) -> tuple[str, ...]:
    """The options that the question lists, else the row's own."""
    return choice.options_in(ask.question) or ask.options


def kind_for(ask: Ask, form: str, listed: tuple[str, ...]) -> str:
    """As what the answer is compared with this form, the options being those listed."""
    own = ask.answer_type == "auto" or (
        listed and ask.answer_type not in _AS_GIVEN and choice.letters_of(form, listed)
    )
    return kind_of(form, listed) if own else ask.answer_type


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
    for _, said in steps(answer, gold, kind, question, options, tolerance):
        if said is not None:
            last = said
    return last


def steps(
    answer: str, gold: str, kind: str, question: str, options: tuple[str, ...], tolerance: Tolerance
) -> Iterator[tuple[str, Decision | None]]:
    """The rules in the order they are tried, with what each says (None: nothing); the last that speaks decides."""
    if kind == "number" and quantity.quantity(gold) is None:
        kind = "math"  # a list or an expression: the row's type was too narrow
    if kind == "regex":
        yield "regex", Decision("undecided", "regex", plain(answer)[:200], "nomatch")
        return
    if kind != "choice":
        same = plain(answer) == plain(gold)
        yield "exact", Decision("correct", "exact", plain(answer)[:200]) if same else None
        if same:
            return
    decision = _judged(answer, gold, kind, question, options, tolerance)
    yield kind, decision
    if decision.outcome != "undecided" or decision.reason not in ("nomatch", "gold"):
        return
    if kind == "choice":
        if answer.strip() == gold.strip():
            yield "exact", Decision("correct", "exact", plain(answer)[:200])
            return
        yield "exact", None
    if kind not in ("math", "latex", "text"):
        if (
            words(answer)
            and words(answer) == words(gold)
            and operators(answer) == operators(gold)
            and "\\" not in answer + gold
        ):
            yield "text-equal", Decision("correct", "text-equal", " ".join(words(answer))[:200])
            return
        yield "text-equal", None
    # Not for yes or no: `The image does not contain a dog` says no, and so it says 0.
    if kind in ("choice", "number") and is_refusal(answer):
        if kind == "choice":
            yield "refusal", Decision("undecided", "refusal", plain(answer)[:80], "format")
        elif number.may_deny(answer, gold):
            yield "refusal", Decision("wrong", "refusal", plain(answer)[:80])


def _judged(
    answer: str, gold: str, kind: str, question: str, options: tuple[str, ...], tolerance: Tolerance
) -> Decision:
    match kind:
        case "choice":
            return choice.judge(answer, gold, options)
        case "yesno":
            return yesno.judge(answer, gold)
        case "number":
            return number.judge(answer, gold, tolerance)
        case "math" | "latex":
            return maths.judge(answer, gold, tolerance)
        case "text":
            return text.judge(answer, gold, question)
        case "anls":
            return anls.judge(answer, gold)
        case "relaxed":
            return relaxed.judge(answer, gold, tolerance)
    return Decision("undecided", kind, plain(answer)[:200], "nomatch")  # llm: only a model can say
