"""How a verdict came about, in lines for a person: where the answer stood, what was compared, which rule decided."""

from collections.abc import Iterator

from pipelines.judging import Ask, judge_all, kind_for, options_of, steps
from pipelines.judging.extract import extract
from pipelines.judging.maths import canonical
from pipelines.judging.normalise import plain, words
from pipelines.judging.outside import Algebra
from pipelines.judging.quantity import quantity
from pipelines.judging.verdict import EXACT, Decision, Tolerance, Verdict

_HOW = {
    "marker": "after a marker such as `Final answer:`",
    "box": "in the last box",
    "tag": "in <answer>",
    "sentence": "after `the answer is` or `####`",
    "think": "the line after </think>",
    "bold": "the last bold text",
    "whole": "the whole text",
}
_WIDTH = 160
_LONGEST = 20_000


def explain(
    ask: Ask,
    *,
    anchored: bool = True,
    tolerance: Tolerance = EXACT,
    algebra: Algebra = "auto",
    verdict: Verdict | None = None,
) -> Iterator[str]:
    """The steps of a judgement. `verdict`: the one to explain, where a model had the last word."""
    final = verdict or judge_all([ask], anchored=anchored, tolerance=tolerance, algebra=algebra)[0]
    reason = f", {final.reason}" if final.reason else ""
    yield f"{final.outcome} (rule {final.rule}{reason})"
    found = extract(ask.response, bare=not anchored)
    if found is None:
        yield "  answer      none found" + (": no marker, box or tag" if anchored else "")
        return
    ended = "" if ask.finish_reason == "stop" else f"; the response ended by {ask.finish_reason}"
    yield (
        f"  answer      {_short(found.text)} at {found.start}-{found.end}, {_HOW.get(found.how, found.how)}{ended}"
    )
    listed = options_of(ask)
    if listed:
        yield f"  options     {_short(' | '.join(listed))}"
    if ask.answer_type == "vqa":
        yield f"  references  {_short(' | '.join(ask.gold))}"
        yield f"  compared    {_short(final.normalised or '')}"
        return
    for form in dict.fromkeys(form for form in ask.gold if form.strip()):
        kind = kind_for(ask, form, listed)
        yield f"  reference   {_short(form)} as {kind}" + (
            " (read off the reference)" if ask.answer_type == "auto" else ""
        )
        answer = found.text[:_LONGEST]
        yield f"  compared    {_forms(answer, kind)} with {_forms(form, kind)}"
        for name, said in steps(answer, form, kind, ask.question, listed, tolerance):
            yield f"    {name:10}  {_said(said)}"
    if final.rule in ("math-verify", "regex", "llm"):
        yield f"    {final.rule:10}  {final.outcome}{reason}: {_short(final.normalised or '')}"


def _said(decision: Decision | None) -> str:
    if decision is None:
        return "says nothing"
    reason = f" ({decision.reason})" if decision.reason else ""
    return f"{decision.outcome} by {decision.rule}{reason}"


def _forms(text: str, kind: str) -> str:
    """The normalised form a rule would see: the number, the formula, else the words, else the plain text."""
    value = quantity(text)
    if value is not None:
        return f"number {value.shown()}"
    if kind in ("math", "latex"):
        return _short(canonical(text))
    return _short(" ".join(words(text)) or plain(text))


def _short(text: str) -> str:
    shown = repr(text)
    return shown if len(shown) <= _WIDTH else shown[: _WIDTH - 3] + "..."
