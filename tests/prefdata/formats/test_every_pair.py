"""Any two formats that are written: a record through both of them is the same record, or the loss was named.

What a format's `holds` promises must not be refused: the second half of this file asks for each promise by itself.
"""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.formats import CannotHold, get, writable
from prefdata.formats.base import KINDS, Format
from prefdata.records import (
    Conversation,
    LabelledAnswer,
    Media,
    MediaRef,
    Message,
    PreferencePair,
    Question,
    Record,
    Text,
    ToolCall,
    message,
)
from prefdata.verify import canonical
from tests.prefdata.formats.test_round_trips import answers, meta, records

arguments = st.dictionaries(st.sampled_from(["a", "b"]), st.one_of(st.integers(), answers), max_size=2)
calls = st.builds(
    ToolCall,
    name=st.sampled_from(["search", "f"]),
    arguments=arguments.map(lambda value: msgspec.json.encode(value).decode()),
    id=st.none() | st.just("call-1"),
)


@st.composite
def agents(draw: st.DrawFn) -> Record:
    """Conversations and pairs with what plain chat has not: tools, calls, thoughts, names, several answer turns."""
    call = Message("assistant", (), calls=(draw(calls),))
    turns = (message("user", draw(answers)), call, message("tool", draw(answers)))
    thought = draw(st.none() | answers)
    last = Message(
        "assistant", (Text(draw(answers)),), reasoning=thought, name=draw(st.none() | st.just("Ann"))
    )
    if draw(st.booleans()):
        return Conversation(messages=(*turns, last), meta=draw(meta))
    prompt = turns if draw(st.booleans()) else turns[:1]
    sides = [(call, message("tool", draw(answers)), last), (message("assistant", draw(answers)),)]
    return PreferencePair(prompt=prompt, chosen=sides[0], rejected=sides[1], meta=draw(meta))


@st.composite
def two_sided(draw: st.DrawFn) -> Record:
    """Pairs whose sides see other images; videos too."""
    kinds = draw(st.lists(st.sampled_from(["image", "video"]), min_size=1, max_size=3))
    media = tuple(Media(uri=f"a{n}", kind=kind) for n, kind in enumerate(kinds))  # type: ignore[arg-type]
    others = tuple(Media(uri=f"b{n}", kind=kind) for n, kind in enumerate(kinds))  # type: ignore[arg-type]
    parts = [part for index in range(len(media)) for part in (MediaRef(index), Text(draw(answers)))]
    same = draw(st.booleans())
    better = (message("assistant", draw(answers)),)
    return PreferencePair(
        prompt=(Message("user", tuple(parts)),),
        chosen=better,
        rejected=better if same else (message("assistant", draw(answers)),),
        media=media,
        rejected_media=others if same or draw(st.booleans()) else None,
    )


def through(target: Format, record: Record) -> Record | None:
    """The record as it comes back from a format; None where the format cannot hold it."""
    try:
        written = target.from_record(record)
    except CannotHold:
        return None
    found = target.to_record(msgspec.json.decode(msgspec.json.encode(written.row)))
    assert canonical(found, written.lost) == canonical(record, written.lost)
    return found


@pytest.mark.parametrize("first", writable())
@given(record=records() | agents() | two_sided())
@settings(max_examples=10, deadline=None)
def test_a_record_survives_any_two_formats(first: str, record: Record) -> None:
    once = through(get(first), record)
    if once is not None:
        for second in writable():
            through(get(second), once)


USER, PLACE = message("user", "Q"), Message("user", (MediaRef(0), Text("Q")))
ANSWER = message("assistant", "A")
CALL = Message("assistant", (), calls=(ToolCall("f", "{}"),))


def record_of(kind: str, turns: tuple[Message, ...], media: tuple[Media, ...] = (), **more: Any) -> Record:
    if kind == "conversation":
        return Conversation(messages=(*turns, ANSWER), media=media)
    if kind == "question":
        return Question(prompt=turns, answer=("A",), media=media)
    if kind == "labelled answer":
        return LabelledAnswer(prompt=turns, answer=(ANSWER,), label=True, media=media)
    return PreferencePair(
        prompt=turns, chosen=(ANSWER,), rejected=(message("assistant", "B"),), media=media, **more
    )


@pytest.mark.parametrize("format_id", writable())
def test_what_is_promised_is_held(format_id: str) -> None:
    target = get(format_id)
    holds = target.holds
    picture = (Media(uri="a.png"),)
    for kind in target.kinds:
        promised = {
            "plain": (True, record_of(kind, (USER,))),
            "system": (holds.system, record_of(kind, (message("system", "S"), USER))),
            "turns": (holds.turns, record_of(kind, (USER, ANSWER, USER))),
            "tools": (holds.tools, record_of(kind, (USER, message("tool", "T"), ANSWER, USER))),
            "calls": (holds.calls, record_of(kind, (USER, CALL, message("tool", "T"), ANSWER, USER))),
            "image": (holds.images != "none", record_of(kind, (PLACE,), picture)),
            "images": (holds.images == "many", record_of(kind, (PLACE,), picture * 2)),
            "video": ("video" in holds.kinds, record_of(kind, (PLACE,), (Media(uri="v", kind="video"),))),
        }
        if kind == "pair":
            other = (Media(uri="b.png"),)
            promised["per side"] = (
                holds.per_side,
                record_of(kind, (PLACE,), picture, rejected_media=other),
            )
            promised["margin"] = (True, record_of(kind, (USER,), margin=0.5))
        for what, (held, record) in promised.items():
            assert KINDS[type(record)] == kind
            found = through(target, record)
            assert (found is not None) == held, f"{format_id}: {what}"
