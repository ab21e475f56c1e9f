"""`hh` and `nectar`: prompts written as "\n\nHuman: ... \n\nAssistant: ..." transcripts. Read only.

The transcript is cut at its markers; each turn loses the spaces around it, as trainers of these sets do. `hh` writes
both sides whole: the prompt is what they share up to the last marker of the assistant. `nectar` has ranked answers (1
is best) and a prompt that ends with that marker.
"""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Choice, Holds, Kind, Turn, View
from prefdata.formats.fields import said
from prefdata.formats.messages import common_beginning
from prefdata.formats.ranked import Ranked, choice, items, need, unread_in
from prefdata.records import Role

_MARK = re.compile(r"\n*(Human|Assistant): ?")
_ROLES: dict[str, Role] = {"Human": "user", "Assistant": "assistant"}


def transcript(text: Any, field: str) -> list[Turn]:
    """The turns of a transcript; a text without markers is one user turn."""
    if not isinstance(text, str):
        return []
    marks = [mark for mark in _MARK.finditer(text) if mark.start() == 0 or mark[0].startswith("\n\n")]
    if not marks:
        return [said(text.strip(), field, "user")]
    ends = [mark.start() for mark in marks[1:]] + [len(text)]
    return [
        said(text[mark.end() : end].strip(), field, _ROLES[mark[1]])
        for mark, end in zip(marks, ends, strict=True)
    ]


class HhRow(msgspec.Struct, gc=False):
    """Two transcripts."""

    chosen: str
    rejected: str


class Hh(Ranked):
    """HH-RLHF rows."""

    id = "hh"
    title = "HH-RLHF pairs of transcripts"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair",)
    row: ClassVar[type[msgspec.Struct]] = HhRow
    holds = Holds(turns=True, system=False, images="none", literal="always")
    content_keys = frozenset({"chosen", "rejected"})
    sample = '{"chosen":"\\n\\nHuman: Hi\\n\\nAssistant: Hello!","rejected":"\\n\\nHuman: Hi\\n\\nAssistant: Go away."}'

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        better, worse = transcript(row.get("chosen"), "chosen"), transcript(row.get("rejected"), "rejected")
        cut = common_beginning([(t.role, t.text) for t in better], [(t.role, t.text) for t in worse])
        # A few rows part before the last answer: both sides then go on from the same user turn.
        return View(
            kind="pair", prompt=better[:cut], chosen=better[cut:], rejected=worse[cut:], implicit=True
        )


class NectarRow(msgspec.Struct, gc=False):
    """A prompt with ranked answers."""

    prompt: str
    answers: list[dict[str, Any]]


class Nectar(Ranked):
    """Nectar rows."""

    id = "nectar"
    title = "Nectar answers with ranks"
    row: ClassVar[type[msgspec.Struct]] = NectarRow
    holds = Holds(turns=True, system=False, images="none", literal="always")
    content_keys = frozenset({"prompt", "answers"})
    sample = (
        '{"prompt":"\\n\\nHuman: Hi \\n\\nAssistant: ","answers":[{"answer":"Hello","model":"a","rank":1.0},'
        '{"answer":"No","model":"b","rank":2.0}],"turns":1}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        prompt = transcript(row.get("prompt"), "prompt")
        if prompt and prompt[-1].role == "assistant" and not prompt[-1].parts:
            prompt = prompt[:-1]
        unread = unread_in(items(row.get("answers")), "answer", "rank", "model")
        return View(kind="ranking", prompt=prompt, candidates=_answers(row), unread=unread)

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """At least two answers."""
        yield from need(_answers(row), "answers")


def _answers(row: dict[str, Any]) -> list[Choice]:
    answers = row.get("answers")
    return [
        choice(item["answer"], f"answers[{index}].answer", rank=item.get("rank"), model=item.get("model"))
        for index, item in enumerate(answers if isinstance(answers, list) else [])
        if isinstance(item, dict) and isinstance(item.get("answer"), str)
    ]
