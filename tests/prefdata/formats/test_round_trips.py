"""A record written in a format and read back is the same record, for everything the format can hold."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.formats import CannotHold, get, ids, writable
from prefdata.records import (
    Conversation,
    LabelledAnswer,
    Media,
    MediaRef,
    Message,
    Part,
    PreferencePair,
    Question,
    Record,
    Role,
    Text,
    merge_text,
    place_media,
)

# Pieces that have broken converters: markers, labels, spaces, other scripts.
PIECES = (
    "<image>",
    "<ImageHere>",
    "Image 1 ",
    "Image 2 <ImageHere>; ",
    "; ",
    "\n",
    " ",
    "因为",
    "😀",
    "<|im_end|>",
    "a",
    "{}",
)
words = st.one_of(st.sampled_from(PIECES), st.text(st.characters(exclude_categories=["Cs"]), max_size=8))
texts = st.lists(words, min_size=1, max_size=4).map("".join)
answers = texts.filter(lambda text: text.strip() != "")
names = st.sampled_from(["a.png", "b/c.jpg", "https://example.org/x.png", "über.png"])


@st.composite
def user_turn(draw: st.DrawFn, media: range) -> Message:
    parts: list[Part] = [Text(draw(texts))]
    for index in media:
        parts += [MediaRef(index), Text(draw(texts))]
    if draw(st.booleans()) and len(parts) > 1:
        parts = parts[1:]
    return Message("user", merge_text(tuple(parts)))


@st.composite
def prompts(draw: st.DrawFn, *, several: bool) -> tuple[tuple[Message, ...], tuple[Media, ...]]:
    media = tuple(Media(uri=name) for name in draw(st.lists(names, max_size=3)))
    placed = draw(st.booleans()) if len(media) < 2 else True
    first = draw(user_turn(range(len(media)) if placed else range(0)))
    turns = [first]
    if several:
        for _ in range(draw(st.integers(0, 2))):
            turns += [_said("assistant", draw(answers)), _said("user", draw(answers))]
    if draw(st.booleans()):
        turns.insert(0, _said("system", draw(answers)))
    return tuple(turns), media


def _said(role: Role, text: str) -> Message:
    return Message(role, (Text(text),))


meta = st.dictionaries(
    st.sampled_from(["source", "turn", "score", "language"]), st.one_of(st.integers(), texts), max_size=2
)
identity = st.one_of(st.none(), answers)


@st.composite
def records(draw: st.DrawFn) -> Record:
    kind = draw(st.sampled_from(["pair", "conversation", "question", "labelled answer"]))
    turns, media = draw(prompts(several=kind != "question"))
    common: dict[str, Any] = {"media": media, "id": draw(identity), "meta": draw(meta)}
    if kind == "conversation":
        return Conversation(messages=(*turns, _said("assistant", draw(answers))), **common)
    if kind == "labelled answer":
        answer = (_said("assistant", draw(answers)),)
        return LabelledAnswer(prompt=turns, answer=answer, label=draw(st.booleans()), **common)
    if kind == "question":
        forms = draw(st.lists(answers, max_size=3, unique=True))
        return Question(prompt=turns, answer=tuple(forms), chosen=draw(st.none() | answers), **common)
    sides = [(_said("assistant", draw(answers)),) for _ in range(2)]
    margin = draw(st.none() | st.floats(0, 10))
    return PreferencePair(prompt=turns, chosen=sides[0], rejected=sides[1], margin=margin, **common)


@pytest.mark.parametrize("format_id", writable())
@given(record=records())
@settings(max_examples=20, deadline=None)
def test_written_and_read_back(format_id: str, record: Record) -> None:
    target = get(format_id)
    try:
        written = target.from_record(record)
    except CannotHold:
        return
    row = msgspec.json.decode(msgspec.json.encode(written.row))
    assert target.to_record(row) == record or target.to_record(row) == _placed(record)


@pytest.mark.parametrize("format_id", writable())
@given(record=records())
@settings(max_examples=20, deadline=None)
def test_rows_written_have_the_shape_that_validate_asks_for(format_id: str, record: Record) -> None:
    from prefdata.rules import syntax

    target = get(format_id)
    try:
        row = target.from_record(record).row
    except CannotHold:
        return
    assert list(syntax.shape(target, row)) == []


def _placed(record: Record) -> Record:
    """The record with a single image put in front, for formats in which every image has a marker."""
    if isinstance(record, Conversation):
        return msgspec.structs.replace(record, messages=place_media(record.messages, record.media))
    return msgspec.structs.replace(record, prompt=place_media(record.prompt, record.media))


@pytest.mark.parametrize("format_id", ids())
def test_the_sample_of_each_format_is_read(format_id: str) -> None:
    target = get(format_id)
    sample = msgspec.json.decode(target.sample)
    row = sample[0] if isinstance(sample, list) else sample
    record = target.to_record(row)
    if target.writes:
        assert target.from_record(record).row == row
    else:
        with pytest.raises(CannotHold, match="only read"):
            target.from_record(record)
