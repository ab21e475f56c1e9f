"""`swift`: ms-swift's rows: `messages` (or query, response, history), media lists, three kinds of rejected side.

`rejected_response` replaces everything after the last user turn; `rejected_messages` is a whole second conversation;
`rejected_images` are other images for the same places. Tags may be fewer than media: ms-swift puts the missing tags in
front of everything, so the tags that are there belong to the *last* media. `<img>URL</img>` in a text is an image too.
A tool call is a turn of the role `tool_call`; it belongs to the assistant turn before it.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import CannotHold, Format, Holds, Kind, Signature, Turn, View, Written
from prefdata.formats.calls import call_text, parse_calls
from prefdata.formats.dialect import MARKERS, in_reading_order, join
from prefdata.formats.fields import blank_media, extras, said, uris
from prefdata.formats.lf_sharegpt import KEYS
from prefdata.formats.messages import TURN_KEYS, Said, part_problems
from prefdata.formats.othernames import says
from prefdata.formats.swift_reading import INLINE, SYSTEM_KEYS, media_lists, turns_of_row
from prefdata.records import Conversation, LabelledAnswer, Media, Message, PreferencePair, Text

# Keys of which one makes a row a pair.
_SIDES = ("rejected_response", "rejected_messages", *(f"rejected_{key}" for key in KEYS.values()))


class Row(msgspec.Struct, gc=False):
    """A conversation, a labelled one, or a pair."""

    messages: list[Said] | None = None
    query: str | None = None
    response: str | None = None
    history: list[list[str]] | None = None
    system: str | None = None
    system_prompt: str | None = None
    rejected_response: str | list[Said] | None = None
    rejected_messages: list[Said] | None = None
    label: bool | None = None
    margin: float | None = None
    images: str | list[Any] | None = None
    videos: str | list[Any] | None = None
    audios: str | list[Any] | None = None
    rejected_images: str | list[Any] | None = None


class Swift(Format):
    """ms-swift rows."""

    id = "swift"
    title = "ms-swift rows, with any kind of rejected side, labelled (KTO) or plain"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair", "conversation", "labelled answer")
    row = Row
    marker = "<image>"
    uniform = True
    holds = Holds(
        turns=True,
        system=True,
        tools=True,
        kinds=("image", "video", "audio"),
        literal_in_answer=False,
        margin=True,
        many_answers=True,
        calls=True,
        per_side=True,
        inline=True,
        turn_keys=TURN_KEYS,
    )
    content_keys = frozenset(
        {"messages", "query", "response", "history", "label", *SYSTEM_KEYS}
        | {"rejected_response", "rejected_messages"}
        | {name for key in KEYS.values() for name in (key, key[:-1], f"rejected_{key}")}
    )
    also_reads = frozenset({"tools", "objects", "channel", "chat_template_kwargs"})
    turn_reads = frozenset({"loss"})
    misspelt: ClassVar[dict[str, str]] = {"rejected": "rejected_response", "from": "role", "value": "content"}
    sample = (
        '{"messages":[{"role":"user","content":"<image>Where?"},{"role":"assistant","content":"Rome"}],'
        '"rejected_response":"Oslo","images":["r.jpg"]}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        media = media_lists(row)
        turns, slots = turns_of_row(row, "messages", media)
        view = View(kind="conversation", prompt=turns, media=media, slots=slots)
        view.blank_media = blank_media(row, *KEYS.values())
        if any(row.get(key) is not None for key in _SIDES):
            self._pair(view, row)
        elif isinstance(label := row.get("label"), bool):
            prompt, answer = _cut(turns)
            view.kind, view.prompt, view.label = "labelled answer", prompt, label
            view.chosen, view.rejected = (answer, []) if label else ([], answer)
        return view

    def _pair(self, view: View, row: dict[str, Any]) -> None:
        view.kind = "pair"
        view.prompt, view.chosen = _cut(view.prompt)
        others = media_lists(row, "rejected_")
        response = row.get("rejected_response")
        if row.get("rejected_messages") is not None:
            turns, _ = turns_of_row(row, "rejected_messages", others)
            view.rejected_prompt, view.rejected = _cut(turns)
            view.rejected_media = others
            return
        if others:
            view.rejected_media = others
        if isinstance(response, str):
            view.rejected = [said(response, "rejected_response")]
        elif isinstance(response, list):
            view.rejected, _ = turns_of_row(row, "rejected_response", view.media)
        elif others:
            view.rejected = view.chosen

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Turns in one of the two ways, typed parts, calls that can be read."""
        if row.get("messages") is None and row.get("query") is None:
            yield "PD021", "messages", ""
        if says(row.get("rejected")) and not any(row.get(key) is not None for key in _SIDES):
            yield "PD023", "rejected", "`rejected` should be `rejected_response`"
        for key in ("messages", "rejected_messages", "rejected_response"):
            yield from part_problems(row.get(key), key)
            turns = row.get(key)
            for index, turn in enumerate(turns if isinstance(turns, list) else []):
                call = isinstance(turn, dict) and turn.get("role") == "tool_call"
                if call and parse_calls(str(turn.get("content"))) is None:
                    yield (
                        "PD022",
                        f"{key}[{index}].content",
                        "a call is JSON text with `name` and `arguments`",
                    )

    def write(self, record: PreferencePair | Conversation | LabelledAnswer) -> Written:
        """The row of a pair, conversation or labelled answer."""
        answer: tuple[Message, ...]
        if isinstance(record, Conversation):
            prompt, answer = record.messages, ()
        else:
            prompt, answer = (
                record.prompt,
                record.chosen if isinstance(record, PreferencePair) else record.answer,
            )
            sides = (answer, record.rejected) if isinstance(record, PreferencePair) else (answer,)
            if not prompt or prompt[-1].role != "user":
                raise CannotHold("a prompt that does not end with the user's turn")
            if any(turn.role not in ("assistant", "tool") for side in sides for turn in side):
                raise CannotHold("an answer with a turn of the user")
        prompt, order = _ordered(prompt, record.media)
        media = tuple(record.media[index] for index in order)
        if not media and any(INLINE.search(turn.text) for turn in prompt):
            raise CannotHold("the literal text <img>...</img> (it would be read as an image)")
        row: dict[str, Any] = {"messages": _rows((*prompt, *answer), media)}
        if isinstance(record, PreferencePair):
            self._rejected(row, record, order)
        elif isinstance(record, LabelledAnswer):
            row["label"] = record.label
        for kind, key in KEYS.items():
            if found := uris(media, kind):
                row[key] = found
        added, lost, carried = extras(record, row, reads_margin=True)
        return Written(row | added, tuple(lost), tuple(carried))

    def _rejected(self, row: dict[str, Any], record: PreferencePair, order: list[int]) -> None:
        others = record.rejected_media
        if others is None or record.rejected != record.chosen:
            first = record.rejected[0]
            plain = (
                len(record.rejected) == 1
                and not first.calls
                and not first.extra
                and first.role == "assistant"
            )
            row["rejected_response"] = first.text if plain else _rows(record.rejected, ())
        if others is not None:
            for kind, key in KEYS.items():
                if found := uris(tuple(others[index] for index in order), kind):
                    row[f"rejected_{key}"] = found

    def images(self, row: Row) -> str | list[str] | None:
        """Media are found by the slow path."""
        return None

    def signature(self, row: Row) -> Signature:
        """Everything, as JSON text."""
        media = (row.images, row.videos, row.audios, row.rejected_images)
        asked = (
            row.system or row.system_prompt,
            row.history,
            row.messages,
            row.query,
            row.response,
            row.label,
        )
        rejected = row.rejected_response if row.rejected_response is not None else row.rejected_messages
        worse = msgspec.json.encode(rejected).decode() if rejected is not None else ""
        return msgspec.json.encode(media).decode(), msgspec.json.encode(asked).decode(), "", worse


def _cut(turns: list[Turn]) -> tuple[list[Turn], list[Turn]]:
    """Prompt and answer: what stands after the last user turn is the answer."""
    last = max((index for index, turn in enumerate(turns) if turn.role == "user"), default=-1)
    return turns[: last + 1], turns[last + 1 :]


def _ordered(turns: tuple[Message, ...], media: tuple[Media, ...]) -> tuple[tuple[Message, ...], list[int]]:
    """Turns whose k-th tag is the k-th medium, and which medium that is. Without any place all media stay in front."""
    if not any(turn.media_indexes for turn in turns):
        return turns, list(range(len(media)))
    numbered = tuple(Media(uri=str(index)) for index in range(len(media)))
    placed, order = in_reading_order(turns, numbered, leave_single=False)
    return placed, [int(item.uri or 0) for item in order]


def _rows(turns: tuple[Message, ...], media: tuple[Media, ...]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for turn in turns:
        if turn.calls:
            if rows and rows[-1]["role"] in ("assistant", "tool_call"):
                raise CannotHold("a tool call after another turn of the assistant")
            if any(isinstance(part, Text) for part in turn.content):
                rows.append({"role": "assistant", "content": turn.text})
            first = len(rows)
            rows += [{"role": "tool_call", "content": call_text((call,))} for call in turn.calls]
            if first and rows[first - 1]["role"] == "assistant":
                first -= 1
            rows[first] |= turn.extra
        else:
            rows.append({**turn.extra, "role": turn.role, "content": join(turn, media, MARKERS)})
    return rows
