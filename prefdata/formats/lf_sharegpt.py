"""`lf-sharegpt`: LLaMA-Factory's sharegpt rows, as ranking (chosen and rejected are one turn each) or as plain chat.

Read under both pairs of names its `dataset_info.json` files use: `conversations` of {from, value}, `messages` of
{role, content}. Written as `conversations`, which needs the least configuration. Media are lists under `images`,
`videos`, `audios`, with exactly one marker each; its converter skips rows where the counts differ. A tool call is a
turn of its own (`function_call`, JSON text), a KTO row is a conversation with a `label` for its last turn.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import CannotHold, Format, Holds, Kind, Signature, Turn, View, Written
from prefdata.formats.calls import call_text, parse_calls, tools_as_text, unread_in_text
from prefdata.formats.dialect import MARKERS, Splitter, in_reading_order, join
from prefdata.formats.fields import (
    FROM_VALUE,
    Picture,
    blank_media,
    extras,
    media_of,
    paths_in,
    plain_turn,
    spoken,
    turns_of,
    uris,
)
from prefdata.records import Conversation, LabelledAnswer, Media, MediaKind, Message, PreferencePair, Role

ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
    "system": "system",
    "observation": "tool",
    "function_call": "assistant",
}
NAMES: dict[Role, str] = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}
KEYS: dict[MediaKind, str] = {"image": "images", "video": "videos", "audio": "audios"}

UNUSED_SYSTEM = "`system` beside a system turn, which is used instead"


class Said(msgspec.Struct, rename={"said": "from"}, gc=False):
    """One turn under {from, value} or {role, content}; a rule asks for one of the two."""

    said: str | None = None
    value: str | None = None
    role: str | None = None
    content: str | None = None


class Row(msgspec.Struct, gc=False):
    """A ranking row, or a conversation without sides."""

    conversations: list[Said] | None = None
    messages: list[Said] | None = None
    chosen: Said | None = None
    rejected: Said | None = None
    label: bool | None = None
    system: str | None = None
    images: list[str | Picture] | None = None
    videos: list[str] | None = None
    audios: list[str] | None = None


class LfSharegpt(Format):
    """LLaMA-Factory sharegpt rows."""

    id = "lf-sharegpt"
    title = "LLaMA-Factory sharegpt rows, ranking, labelled (KTO) or plain"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair", "conversation", "labelled answer")
    row = Row
    marker = "<image>"
    container = "json"
    uniform = True
    holds = Holds(
        turns=True,
        system=True,
        tools=True,
        kinds=("image", "video", "audio"),
        literal="never",
        literal_in_answer=False,
        calls=True,
        inline=True,
        # Both pairs of names are read, the second where any of it is there.
        turn_keys=FROM_VALUE | {"role", "content"},
    )
    content_keys = frozenset(
        {"conversations", "messages", "chosen", "rejected", "label", "system", "images", "videos", "audios"}
    )
    also_reads = frozenset({"tools"})
    misspelt: ClassVar[dict[str, str]] = {
        "conversation": "conversations",
        "image": "images",
        "reject": "rejected",
    }
    sample = (
        '[{"conversations":[{"from":"human","value":"<image>Animal?"}],"chosen":{"from":"gpt","value":"Cat"},'
        '"rejected":{"from":"gpt","value":"Dog"},"images":["c.jpg"]}]'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        media = [found for kind, key in KEYS.items() for found in media_of(row, key, kind)]
        splitter = Splitter([found.media for found in media], MARKERS)
        key = "conversations" if row.get("conversations") is not None else "messages"
        prompt, system = _turns(row.get(key), key, splitter), plain_turn(row, "system", "system")
        # LLaMA-Factory looks at the column only where the turns have no system text of their own.
        unused = bool(system and prompt and prompt[0].role == "system")
        if not unused:
            prompt = system + prompt
        chosen, rejected, label = _side(row, "chosen"), _side(row, "rejected"), row.get("label")
        kind: Kind = "pair" if "chosen" in row or "rejected" in row else "conversation"
        if kind == "conversation" and isinstance(label, bool):
            kind = "labelled answer"
            cut = len(prompt) - 1 if prompt and prompt[-1].role == "assistant" else len(prompt)
            prompt, answer = prompt[:cut], prompt[cut:]
            chosen, rejected = (answer, []) if label else ([], answer)
        return View(
            kind=kind,
            prompt=prompt,
            label=label if isinstance(label, bool) else None,
            chosen=chosen,
            rejected=rejected,
            media=media,
            blank_media=blank_media(row, *KEYS.values()),
            slots=splitter.found,
            unread=(UNUSED_SYSTEM,) if unused else (),
        )

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Turns under either pair of names, and both sides where there is one."""
        key = "conversations" if row.get("conversations") is not None else "messages"
        if row.get(key) is None:
            yield "PD021", "conversations", ""
        turns = row.get(key)
        for index, turn in enumerate(turns if isinstance(turns, list) else []):
            yield from _said_fully(turn, f"{key}[{index}]")
        for side, other in (("chosen", "rejected"), ("rejected", "chosen")):
            if row.get(side) is not None:
                yield from _said_fully(row[side], side)
                if row.get(other) is None:
                    yield "PD021", other, ""

    def unfit(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Turns and sides under both pairs of names: LLaMA-Factory reads all of a file by the tags of one."""
        key = "conversations" if row.get("conversations") is not None else "messages"
        turns = row.get(key)
        placed = [
            (f"{key}[{index}]", turn) for index, turn in enumerate(turns if isinstance(turns, list) else [])
        ]
        placed += [(side, row.get(side)) for side in ("chosen", "rejected")]
        said = [(place, turn) for place, turn in placed if isinstance(turn, dict)]
        ours = _names(said[0][1]) if said else ()
        for place, turn in said:
            for wrong, right in zip(_names(turn), ours, strict=True):
                if wrong != right and wrong in turn:
                    what = f"`{wrong}` should be `{right}` as in the row's first turn"
                    yield "PD023", f"{place}.{wrong}", what

    def write(self, record: PreferencePair | Conversation | LabelledAnswer) -> Written:
        """The row of a pair, conversation or labelled answer."""
        turns = record.messages if isinstance(record, Conversation) else record.prompt
        if isinstance(record, LabelledAnswer):
            turns = (*turns, *record.answer)
        turns, media = in_reading_order(turns, record.media, leave_single=False)
        row: dict[str, Any] = {"conversations": [_row(turn, media) for turn in turns]}
        if isinstance(record, PreferencePair):
            row["chosen"], row["rejected"] = _row(record.chosen[0], media), _row(record.rejected[0], media)
        if isinstance(record, LabelledAnswer):
            row["label"] = record.label
        for kind, key in KEYS.items():
            if found := uris(media, kind):
                row[key] = found
        added, lost, carried = extras(record, row)
        return Written(tools_as_text(row | added), tuple(lost), tuple(carried))

    def images(self, row: Row) -> str | list[str] | None:
        """Images only; videos and audios are looked for by the slow path."""
        return paths_in(row.images) if row.images is not None else None

    def signature(self, row: Row) -> Signature:
        """All media, the prompt and both sides."""
        media = msgspec.json.encode((row.images, row.videos, row.audios)).decode()
        turns = row.conversations if row.conversations is not None else row.messages or []
        prompt = "\0".join(_said(turn) for turn in turns)
        chosen, rejected = (_said(side) if side is not None else "" for side in (row.chosen, row.rejected))
        return media, f"{row.system or ''}\0{row.label}\0{prompt}", chosen, rejected


def _row(turn: Message, media: tuple[Media, ...]) -> dict[str, Any]:
    if not turn.calls:
        return spoken(turn, NAMES[turn.role], join(turn, media, MARKERS))
    if turn.content:
        raise CannotHold("text beside a tool call in one turn")
    return spoken(turn, "function_call", call_text(turn.calls))


def _said(turn: Said) -> str:
    return f"{turn.said or turn.role}\1{turn.value if turn.value is not None else turn.content}"


def _said_fully(turn: Any, place: str) -> Iterator[tuple[str, str, str]]:
    if isinstance(turn, dict):
        for name in _names(turn):
            if turn.get(name) is None:
                yield "PD021", f"{place}.{name}", ""
        said, text = (turn.get(name) for name in _names(turn))
        if said == "function_call" and isinstance(text, str) and parse_calls(text) is None:
            yield "PD022", f"{place}.{_names(turn)[1]}", "a call is JSON text with `name` and `arguments`"


def _names(item: dict[str, Any]) -> tuple[str, str]:
    return ("role", "content") if "role" in item or "content" in item else ("from", "value")


def _turns(value: Any, field: str, splitter: Splitter) -> list[Turn]:
    turns = []
    for index, item in enumerate(value if isinstance(value, list) else []):
        if isinstance(item, dict):
            names = _names(item)
            turns += [
                with_calls(turn, f"{field}[{index}].{names[1]}")
                for turn in turns_of([item], field, ROLES, splitter, names)
            ]
    return turns


def with_calls(turn: Turn, field: str) -> Turn:
    """The turn at its place; what a `function_call` turn holds becomes calls."""
    calls = parse_calls(turn.text) if turn.said == "function_call" else None
    if not calls:
        return msgspec.structs.replace(turn, field=field)
    return msgspec.structs.replace(turn, field=field, parts=(), calls=calls, unread=unread_in_text(turn.text))


def _side(row: dict[str, Any], key: str) -> list[Turn]:
    item = row.get(key)
    if not isinstance(item, dict):
        return []
    names = _names(item)
    turns = turns_of([item], key, ROLES, None, names)
    return [with_calls(turn, f"{key}.{names[1]}") for turn in turns]
