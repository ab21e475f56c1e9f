"""Does a record fit into a format? The checks common to all writers.

Every refusal raises `CannotHold` with a short phrase that is the same for all rows with the same trouble, because
the converter counts rows by it.
"""

from collections import Counter
from typing import Any

import msgspec

from prefdata.formats.base import CannotHold, Format
from prefdata.records import (
    Conversation,
    LabelledAnswer,
    Media,
    Message,
    PreferencePair,
    Question,
    RankedCandidates,
    Record,
    Text,
)

SEVERAL_TURNS = "a prompt of several turns"
NAMES = "names of speakers and ids of tool calls"
MEDIA_KEYS = "keys beside a medium (sizes, frame rates)"


def check_holds(target: Format, record: Record, inline: bool = False) -> None:
    """Raise CannotHold when `target` has no place for the record's content."""
    holds = target.holds
    prompt, answers = _sides(record)
    if not holds.turns and not isinstance(record, Conversation):
        turns = [turn for turn in prompt if turn.role != "system"]
        if [turn.role for turn in turns] != ["user"]:
            raise CannotHold(SEVERAL_TURNS)
    if not holds.many_answers:
        for side in _answers(record):
            if [turn.role for turn in side] != ["assistant"]:
                raise CannotHold("an answer of several turns")
    systems = [index for index, turn in enumerate(prompt) if turn.role == "system"]
    if systems and not holds.system:
        raise CannotHold("a system turn")
    if systems not in ([], [0]):
        raise CannotHold("a system turn that is not the first turn")
    if not holds.tools and any(turn.role == "tool" for turn in (*prompt, *answers)):
        raise CannotHold("a tool turn")
    if not holds.calls and any(turn.calls for turn in (*prompt, *answers)):
        raise CannotHold("a tool call")
    if not holds.reasoning and any(turn.reasoning for turn in (*prompt, *answers)):
        raise CannotHold("a reasoning text")
    _check_media(target, record.media, inline)
    if isinstance(record, PreferencePair) and record.rejected_media is not None:
        if not holds.per_side:
            raise CannotHold("other media for the rejected side")
        _check_media(target, record.rejected_media, inline)
    _check_places(target, prompt, answers, bool(record.media))


def unheld(target: Format, record: Record) -> list[str]:
    """What the target has no place for beside the content."""
    prompt, answers = _sides(record)
    lost = []
    if not target.holds.names and any(
        turn.name or turn.call_id or any(call.id for call in turn.calls) for turn in (*prompt, *answers)
    ):
        lost.append(NAMES)
    media = record.media + ((record.rejected_media or ()) if isinstance(record, PreferencePair) else ())
    if not target.holds.media_keys and any(item.extra for item in media):
        lost.append(MEDIA_KEYS)
    return [*lost, *record.unread]


class TurnKeys(msgspec.Struct, frozen=True):
    """Keys of turns beside what is said: how often each is to be written, and those the target has no place for."""

    given: Counter[str] = Counter()
    lost: tuple[str, ...] = ()


_NO_KEYS = TurnKeys()


def writable_turns(target: Format, record: Record) -> tuple[Record, TurnKeys]:
    """The record with those keys of its turns that the target can write beside its own."""
    prompt, answers = _sides(record)
    if not any(turn.extra for turn in (*prompt, *answers)):
        return record, _NO_KEYS
    taken, lost = target.holds.turn_keys, []

    def kept(turn: Message) -> Message:
        extra = {}
        for key, value in turn.extra.items():
            if taken is not None and key not in taken:
                extra[key] = value
            elif value is not None:
                lost.append(key)
        return msgspec.structs.replace(turn, extra=extra)

    fields = ("messages",) if isinstance(record, Conversation) else ("prompt", "chosen", "rejected", "answer")
    record = msgspec.structs.replace(
        record,
        **{
            name: tuple(kept(turn) for turn in turns)
            for name in fields
            if isinstance(turns := getattr(record, name, None), tuple) and not isinstance(record, Question)
        },
    )
    prompt, answers = _sides(record)
    if isinstance(record, PreferencePair) and record.rejected == record.chosen:
        answers = record.chosen
    given = Counter(
        key for turn in (*prompt, *answers) for key, value in turn.extra.items() if value is not None
    )
    return record, TurnKeys(given, tuple(dict.fromkeys(lost)))


def missed(target: Format, keys: TurnKeys, row: dict[str, Any]) -> tuple[list[str], list[str]]:
    """Names of the keys of turns that are not in the written row, and of those that its readers do not look at.

    The row itself is searched, so that a writer that leaves a key out is found whatever its reason.
    """
    found: Counter[str] = Counter()
    if keys.given:
        _count_keys([value for value in row.values() if isinstance(value, dict | list)], found)
    gone = [*keys.lost, *(key for key, count in keys.given.items() if found[key] < count)]
    unused = [key for key in keys.given if key not in gone and key not in target.turn_reads]
    return [of_turn(key) for key in dict.fromkeys(gone)], [of_turn(key) for key in unused]


def of_turn(key: str) -> str:
    """How a key of a turn is named in reports."""
    return f"`{key}` of a turn"


def _count_keys(value: Any, found: Counter[str]) -> None:
    if isinstance(value, dict):
        found.update(value.keys())
        value = value.values()
    for item in value:
        if isinstance(item, dict | list):
            _count_keys(item, found)


def _sides(record: Record) -> tuple[tuple[Message, ...], tuple[Message, ...]]:
    if isinstance(record, Conversation):
        return record.messages, ()
    return record.prompt, tuple(turn for side in _answers(record) for turn in side)


def _answers(record: Record) -> list[tuple[Message, ...]]:
    if isinstance(record, PreferencePair):
        return [record.chosen, record.rejected]
    if isinstance(record, LabelledAnswer):
        return [record.answer]
    if isinstance(record, RankedCandidates):
        return [candidate.messages for candidate in record.candidates]
    return []


def _check_media(target: Format, media: tuple[Media, ...], inline: bool) -> None:
    for item in media:
        if item.kind not in target.holds.kinds:
            raise CannotHold(f"{'audio' if item.kind == 'audio' else 'a ' + item.kind}")
        if item.data is not None and not (inline and target.holds.inline):
            raise CannotHold("image bytes (write them out with --extract-images)")
    images = sum(1 for item in media if item.kind == "image")
    if images > {"none": 0, "one": 1, "many": images}[target.holds.images]:
        raise CannotHold("several images" if images > 1 else "an image")


def _check_places(
    target: Format, prompt: tuple[Message, ...], answers: tuple[Message, ...], has_media: bool
) -> None:
    marker, holds = target.marker, target.holds
    if has_media and not any(turn.role == "user" for turn in prompt):
        raise CannotHold("an image without a user's turn to stand in")
    for turn in (*prompt, *answers):
        if turn.role != "user" and turn.media_indexes:
            raise CannotHold(f"an image inside a turn of the role `{turn.role}`")
    if marker is None or holds.literal == "always":
        return
    markers = (marker, *(f"<{kind}>" for kind in holds.kinds if kind != "image"))
    for turn in prompt:
        strict = (
            has_media
            or holds.literal == "never"
            or (turn.role == "assistant" and not holds.literal_in_answer)
        )
        if strict and _writes(turn, markers):
            raise CannotHold(f"the literal text {marker} (it would be read as an image's place)")
    if not holds.literal_in_answer and any(_writes(turn, markers) for turn in answers):
        raise CannotHold(f"the literal text {marker} in an answer (it would be read as an image's place)")


def _writes(turn: Message, markers: tuple[str, ...]) -> bool:
    # Joined text too: two parts around an image never join, but a marker must not arise from neighbours either.
    return any(marker in part.text for part in turn.content if isinstance(part, Text) for marker in markers)
