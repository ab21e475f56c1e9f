"""PD2xx: can the row teach anything? Answers that are empty, equal, leaked from a template, or refusals."""

import re
from collections.abc import Iterator
from typing import Any

from prefdata.findings import Hit, detail
from prefdata.formats.base import Format, Turn, View
from prefdata.formats.mmpr import squeezed
from prefdata.formats.othernames import WORSE, says

_TEMPLATE = re.compile(r"<\|[A-Za-z0-9_]{2,30}\|>|\[UNUSED_TOKEN_\d+\]|\[/?INST\]|</s>")
_REFUSAL = re.compile(
    r"\b(?:[Cc]an ?not|[Cc]an['’]t|[Uu]nable to|[Nn]ot able to)(?: directly| actually| physically)? "
    r"(?:see|view|access|display|analy[sz]e|process|interpret)\b[^.\n]{0,30}\b(?:images?|pictures?|photos?|photographs?)\b"
    r"|\b[Aa]s an? (?:\w+ ){0,3}?(?:AI|language model)\b[^.\n]{0,80}\b(?:see|view|images?|pictures?|photos?|visual)\b"
)
# Every refusal holds one of these, so an answer without any of them needs no second look.
_REFUSAL_HINTS = ("annot ", "an not ", "an't ", "an’t ", "nable to ", "ot able to ", "AI", "language model")


# The marker of answers that reason first, and an empty place for the reasoning.
_MARKED = re.compile(r"[\s*#>]*(?:(?:[Tt]he )?[Ff]inal [Aa]nswer\W|<answer>)")
_ONLY_MARKED = re.compile(rf"{_MARKED.pattern}[^\n]{{0,80}}\s*")
_THOUGHT = re.compile(r"<think>\s*</think>")


def template_token(text: str) -> str | None:
    """The first mark of a chat template in a text, if any."""
    match = _TEMPLATE.search(text)
    return match[0] if match else None


def may_lack_reasons(answer: str) -> bool:
    """Whether an answer must be looked at for its reasoning; False is certain."""
    return "<think>" in answer or _MARKED.match(answer) is not None


def may_refuse(answer: str) -> bool:
    """Whether an answer must be looked at for a refusal; False is certain."""
    for hint in _REFUSAL_HINTS:  # noqa: SIM110
        if hint in answer:
            return True
    return False


def check(view: View) -> Iterator[Hit]:
    """All rules on what is asked and answered."""
    if view.kind != "conversation":
        yield from _question(view)
    if view.kind == "pair":
        yield from _answers(view)
        if view.rejected_prompt is not None and view.chosen and view.rejected:
            yield from _prompts(view.prompt, view.rejected_prompt)
    for turn in (*view.prompt, *view.chosen, *view.rejected):
        if mark := template_token(turn.text):
            yield Hit("PD207", turn.field, mark)
    if any(found.media.kind == "image" for found in view.media):
        for turn in view.chosen:
            if match := _REFUSAL.search(turn.text):
                yield Hit("PD208", turn.field, detail(match[0]))


def unread_side(view: View, fmt: Format, row: dict[str, Any]) -> Iterator[Hit]:
    """A worse answer in a row that is read as no pair.

    Formats with a fast path, which sees no other keys, are left out, so that a row does not have findings by its
    neighbours; their files are told to be pairs by `sniff`.
    """
    if view.kind not in ("conversation", "labelled answer") or type(fmt).clean is not Format.clean:
        return
    found = [key for key in WORSE if key in row and key not in fmt.reserved and says(row[key])]
    told = {field for _, field, _ in fmt.shape(row)} if found else ()
    for key in found:
        if key not in told:
            yield Hit("PD029", key, f"`{key}`")


def _question(view: View) -> Iterator[Hit]:
    asked = [turn for turn in view.prompt if turn.role != "system"]
    if not asked:
        if (
            view.kind == "pair"
            and (view.chosen or view.rejected)
            and view.rejected_prompt is None
            and view.implicit
        ):
            yield Hit("PD206")
        return
    if not asked[-1].text.strip() and not view.media:
        yield Hit("PD209", asked[-1].field)
    if view.kind == "question" and not any(form.strip() for form in view.answer):
        if view.continued is None:
            yield Hit("PD210")
        elif not view.continued.strip():
            yield Hit("PD201", "chosen")


def _answers(view: View) -> Iterator[Hit]:
    sides = (view.chosen, view.rejected)
    blank = False
    for side in sides:
        for turn in side[-1:]:
            if not turn.text.strip():
                blank = True
                yield Hit("PD201", turn.field)
    if blank or not all(sides):
        return
    a, b = ("".join(turn.text for turn in side) for side in sides)
    field = view.rejected[-1].field
    if a == b:
        yield Hit("PD202", field, detail(a))
    elif "".join(a.split()) == "".join(b.split()):
        yield Hit("PD203", field, f"{detail(a, 40)} and {detail(b, 40)}")
    elif squeezed(a) == squeezed(b):
        yield Hit("PD204", field, f"{detail(a, 40)} and {detail(b, 40)}")

    yield from _reasons(view.chosen[-1], view.rejected[-1])


def _reasons(chosen: Turn, rejected: Turn) -> Iterator[Hit]:
    """Empty thoughts on both sides are the habit of a template, on one side the pair teaches not to think."""
    thoughtless = [turn for turn in (chosen, rejected) if _THOUGHT.search(turn.text)]
    if len(thoughtless) == 1:
        yield Hit("PD213", thoughtless[0].field, "`<think>` holds nothing")
    for turn in (chosen, rejected):
        if _ONLY_MARKED.fullmatch(turn.text):
            yield Hit("PD213", turn.field, f"only {detail(turn.text)}")


def _prompts(a: list[Turn], b: list[Turn]) -> Iterator[Hit]:
    if len(a) != len(b):
        yield Hit("PD205", "", f"{len(a)} turns before the chosen answer, {len(b)} before the rejected one")
        return
    for left, right in zip(a, b, strict=True):
        if left.role != right.role or left.parts != right.parts:
            yield Hit("PD205", right.field, f"{detail(left.text, 40)} and {detail(right.text, 40)}")
            return
