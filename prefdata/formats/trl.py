"""`trl`: TRL's rows: preference explicit or implicit, unpaired (`completion`, `label`), plain `messages`; with images.

Texts are plain strings or message lists, contents plain or typed parts, so nothing in a text is magic. An implicit
row's prompt is the longest common beginning of both sides, as TRL itself takes it, where that is more than letters of a
first word. Rows are written explicit and as messages. `images` without any image part means "in front of the first user
turn", which TRL does by itself.
"""

import re
from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import BadRow, Format, Holds, Kind, Signature, Turn, View, Written
from prefdata.formats.calls import tools_as_text
from prefdata.formats.dialect import in_reading_order
from prefdata.formats.fields import Picture, blank_media, extras, media_of, said, uris
from prefdata.formats.messages import (
    PARTS,
    TURN_KEYS,
    Messages,
    Said,
    common_beginning,
    message_row,
    part_problems,
)
from prefdata.formats.othernames import ASKED
from prefdata.records import (
    Conversation,
    LabelledAnswer,
    Media,
    Message,
    PreferencePair,
    Record,
    Role,
    Text,
)

# What a text that asks something holds: white space, a mark that ends a question, a speaker's name or a token.
_BOUNDARY = re.compile(r"[\s?:>？：]")
_LISTS = ("prompt", "chosen", "rejected", "completion", "messages")


class Row(msgspec.Struct, gc=False):
    """Explicit or implicit preference, unpaired preference, or a conversation."""

    chosen: str | list[Said] | None = None
    rejected: str | list[Said] | None = None
    prompt: str | list[Said] | None = None
    completion: str | list[Said] | None = None
    label: bool | None = None
    messages: list[Said] | None = None
    images: list[str | Picture] | None = None
    image: str | Picture | None = None
    margin: float | None = None


class Trl(Format):
    """TRL rows."""

    id = "trl"
    title = "TRL preference pairs, explicit or implicit, unpaired answers and conversations, with images"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair", "labelled answer", "conversation")
    row = Row
    marker = None
    uniform = True
    holds = Holds(
        turns=True,
        system=True,
        tools=True,
        literal="always",
        margin=True,
        many_answers=True,
        calls=True,
        reasoning=True,
        names=True,
        inline=True,
        turn_keys=TURN_KEYS,
    )
    content_keys = frozenset({*_LISTS, "label", "images", "image"})
    also_reads = frozenset({"tools", "chat_template_kwargs"})
    misspelt: ClassVar[dict[str, str]] = {"reject": "rejected", "from": "role", "value": "content"}
    sample = (
        '{"prompt":[{"role":"user","content":"2+2?"}],"chosen":[{"role":"assistant","content":"4"}],'
        '"rejected":[{"role":"assistant","content":"5"}]}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        media = media_of(row, "images") or media_of(row, "image")
        listed = len(media)
        reader = Messages(media)
        view = self._sides(row, reader)
        view.media = media
        view.blank_media = blank_media(row, "image", "images")
        view.slots = {"image": reader.used + len(media) - listed} if reader.used else None
        return view

    def _sides(self, row: dict[str, Any], reader: Messages) -> View:
        kind = _kind(row)
        if kind == "conversation":
            turns = _turns(row, "messages", "user", reader) or [
                *_turns(row, "prompt", "user", reader),
                *_turns(row, "completion", "assistant", reader),
            ]
            return View(kind=kind, prompt=turns)
        if kind == "labelled answer":
            prompt = _turns(row, "prompt", "user", reader)
            answer = _turns(row, "completion", "assistant", reader)
            wanted = bool(row.get("label"))
            return View(
                kind=kind,
                prompt=prompt,
                label=wanted,
                chosen=answer if wanted else [],
                rejected=[] if wanted else answer,
            )
        if row.get("prompt") is not None:
            prompt = _turns(row, "prompt", "user", reader)
            chosen = _turns(row, "chosen", "assistant", reader)
            rejected = _turns(row, "rejected", "assistant", reader)
        else:
            prompt, chosen, rejected = _implicit(row, reader)
        return View(
            kind="pair", prompt=prompt, chosen=chosen, rejected=rejected, implicit=row.get("prompt") is None
        )

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """The keys each kind of row needs, and content parts of another dialect."""
        if _kind(row) == "pair":
            for key in ("chosen", "rejected"):
                if row.get(key) is None:
                    wrong = "reject" if key == "rejected" and "reject" in row else None
                    yield ("PD023", wrong, f"`{wrong}` should be `{key}`") if wrong else ("PD021", key, "")
            if (asked := _asked(row)) is not None:
                yield "PD023", asked, f"`{asked}` should be `prompt`"
        for key in _LISTS:
            yield from part_problems(row.get(key), key, PARTS)

    def unfit(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Texts beside lists of messages: TRL joins prompt and answer, and judges the type by one of the keys."""
        given = {key: row[key] for key in _LISTS[:4] if isinstance(row.get(key), str | list)}
        if len({type(value) for value in given.values()}) < 2:
            return
        texts, lists = (
            [key for key, value in given.items() if isinstance(value, kind)] for kind in (str, list)
        )
        what = f"{_named(texts)} a text, {_named(lists)} a list of messages; TRL needs one type for all"
        if texts == ["prompt"] and all(_is_asked(given[key]) for key in lists):
            what += " (here: leave out `prompt`, the lists hold the question)"
        # What fewer keys have is the slip.
        yield "PD022", (texts if len(texts) <= len(lists) else lists)[0], what

    def record_of(self, view: View, row: dict[str, Any]) -> Record:
        """The record; without a prompt nothing says what was asked."""
        if view.implicit and not view.prompt and view.chosen and view.rejected:
            raise BadRow("", "no prompt before the answers (PD206)")
        return super().record_of(view, row)

    def write(self, record: PreferencePair | LabelledAnswer | Conversation) -> Written:
        """An explicit row of messages."""
        if isinstance(record, Conversation):
            sides: dict[str, tuple[Message, ...]] = {"messages": record.messages}
        elif isinstance(record, LabelledAnswer):
            sides = {"prompt": record.prompt, "completion": record.answer}
        else:
            sides = {"prompt": record.prompt, "chosen": record.chosen, "rejected": record.rejected}
        sides, media = _place_all(sides, record.media)
        # One content type per row: Arrow, which TRL loads through, refuses a column of texts and lists.
        typed = any(turn.media_indexes for side in sides.values() for turn in side)
        row: dict[str, Any] = {
            key: [message_row(turn, _content(turn, typed), calls_as_text=False) for turn in side]
            for key, side in sides.items()
        }
        if isinstance(record, LabelledAnswer):
            row["label"] = record.label
        if media:
            row["images"] = uris(media)
        added, lost, carried = extras(record, row, reads_margin=True)
        return Written(tools_as_text(row | added), tuple(lost), tuple(carried))

    def images(self, row: Row) -> str | list[str] | None:
        """References only; inline bytes need no file."""
        if isinstance(row.image, str):
            return row.image
        return [item for item in row.images or () if isinstance(item, str)]

    def signature(self, row: Row) -> Signature:
        """Everything, as JSON text."""
        answers = (row.chosen or row.completion or row.messages, row.rejected)
        pieces = (row.images or row.image, row.prompt, answers[0], answers[1])
        media, prompt, chosen, rejected = (msgspec.json.encode(piece).decode() for piece in pieces)
        labelled = "" if row.label is None else f"{row.label}\0"
        return media, labelled + prompt, chosen, rejected if row.rejected is not None else ""


def _kind(row: dict[str, Any]) -> Kind:
    if row.get("chosen") is None and row.get("rejected") is None:
        if row.get("completion") is not None and row.get("label") is not None:
            return "labelled answer"
        if row.get("messages") is not None or row.get("completion") is not None:
            return "conversation"
    return "pair"


def _turns(row: dict[str, Any], key: str, role: Role, reader: Messages) -> list[Turn]:
    value = row.get(key)
    return [said(value, key, role)] if isinstance(value, str) else reader.turns(value, key)


def _implicit(row: dict[str, Any], reader: Messages) -> tuple[list[Turn], list[Turn], list[Turn]]:
    """Split both sides after their longest common beginning; two strings the same way, by characters.

    A few letters that two first words share are no prompt, though TRL would take them for one.
    """
    chosen, rejected = row.get("chosen"), row.get("rejected")
    if isinstance(chosen, str) and isinstance(rejected, str):
        common = next(
            (i for i, (a, b) in enumerate(zip(chosen, rejected, strict=False)) if a != b),
            min(len(chosen), len(rejected)),
        )
        if 0 < common < min(len(chosen), len(rejected)) and chosen[common - 1] == " ":
            common -= 1
        if _asked(row) is not None or not _BOUNDARY.search(chosen[:common]):
            common = 0
        prompt = [said(chosen[:common], "chosen", "user")] if common else []
        return prompt, [said(chosen[common:], "chosen")], [said(rejected[common:], "rejected")]
    if not isinstance(chosen, list) or not isinstance(rejected, list):
        return [], [], []
    common = common_beginning(chosen, rejected)
    prompt = reader.turns(chosen[:common], "chosen")
    used = reader.used
    better = [reader.turn(item, f"chosen[{n}].content") for n, item in enumerate(chosen) if n >= common]
    # Both sides go on from the same prompt, so both count their images from there.
    reader.used = used
    worse = [reader.turn(item, f"rejected[{n}].content") for n, item in enumerate(rejected) if n >= common]
    return prompt, [turn for turn in better if turn], [turn for turn in worse if turn]


def _asked(row: dict[str, Any]) -> str | None:
    """The key that holds the question of two texts which have no `prompt`."""
    texts = isinstance(row.get("chosen"), str) and isinstance(row.get("rejected"), str)
    if not texts or row.get("prompt") is not None:
        return None
    return next((key for key in ASKED if isinstance(row.get(key), str)), None)


def _is_asked(side: list[Any]) -> bool:
    """Whether a side begins with the user's turn."""
    return bool(side) and isinstance(side[0], dict) and side[0].get("role") == "user"


def _named(keys: list[str]) -> str:
    return " and ".join(f"`{key}`" for key in keys) + (" is" if len(keys) == 1 else " are each")


def _content(turn: Message, typed: bool) -> Any:
    if not typed:
        return turn.text
    return [
        {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": "image"}
        for part in turn.content
    ]


def _place_all(
    sides: dict[str, tuple[Message, ...]], media: tuple[Media, ...]
) -> tuple[dict[str, tuple[Message, ...]], tuple[Media, ...]]:
    """Image parts do not say which image they mean, so images are listed in reading order.

    Images without any part stay so; if only some have a part, the others get one in front of the first user turn.
    """
    turns = tuple(turn for side in sides.values() for turn in side)
    if not any(turn.media_indexes for turn in turns):
        return sides, media
    turns, media = in_reading_order(turns, media, leave_single=False)
    ordered, start = {}, 0
    for key, side in sides.items():
        ordered[key] = turns[start : start + len(side)]
        start += len(side)
    return ordered, media
