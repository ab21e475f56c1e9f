"""No key of a turn, or of anything deeper in a row, vanishes without its name: it is in the new row or told as lost."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.formats import CannotHold, get, holding, ids, writable
from prefdata.formats.base import KINDS
from prefdata.formats.flatten import flatten
from prefdata.records import PreferencePair, RankedCandidates, Record, record_id
from prefdata.verify import canonical
from tests.prefdata.formats.test_every_pair import agents
from tests.prefdata.formats.test_round_trips import records

NAMES = ("loss", "weight", "score", "refusal", "model", "id", "name", "from", "role", "value", "tool_calls")
VALUES = st.one_of(
    st.integers(), st.booleans(), st.text("ab", min_size=1), st.just({"deep": 1}), st.just([1])
)
USER, ANSWER = {"role": "user", "content": "q"}, {"role": "assistant", "content": "x"}


def nested(value: Any) -> Iterator[dict[str, Any]]:
    """All objects in a value, but for the arguments of calls, which are content."""
    if isinstance(value, dict):
        yield value
        value = [item for key, item in value.items() if key != "arguments"]
    for item in value if isinstance(value, list) else []:
        yield from nested(item)


def inside(row: dict[str, Any], meta: tuple[str, ...] = ("score", "meta")) -> list[dict[str, Any]]:
    return [one for key, value in row.items() if key not in meta for one in nested(value)]


def told(record: Record, target_id: str, key: str) -> bool:
    """Whether a key is in the row that is written, or named as lost; True where nothing is written."""
    try:
        written = get(target_id).from_record(record)
    except CannotHold:
        return True
    names = [
        name for name in written.lost if f"`{key}`" in name or name in (holding.NAMES, holding.MEDIA_KEYS)
    ]
    return bool(names) or any(key in one for one in inside(written.row, ()))


@pytest.mark.parametrize("source_id", writable())
@given(record=st.one_of(records(), agents()), data=st.data())
@settings(max_examples=25, deadline=None)
def test_every_key_is_carried_or_named(source_id: str, record: Record, data: st.DataObject) -> None:
    source = get(source_id)
    try:
        row = msgspec.json.decode(msgspec.json.encode(source.from_record(record).row))
    except CannotHold:
        return
    places = inside(row)
    if not places:
        return
    place = data.draw(st.sampled_from(places))
    key = data.draw(st.sampled_from(["zz", *NAMES]).filter(lambda name: name not in place))
    place[key] = data.draw(VALUES)
    try:
        read = source.to_record(row)
    except ValueError:
        return  # refused aloud
    for target_id in writable():
        assert told(read, target_id, key), (target_id, row)


@pytest.mark.parametrize("source_id", ids())
def test_every_sample_with_a_strange_key(source_id: str) -> None:
    """Formats that are only read as well."""
    source = get(source_id)
    sample = msgspec.json.decode(source.sample)
    row = sample[0] if isinstance(sample, list) else sample
    for number in range(len(inside(row))):
        strange = msgspec.json.decode(msgspec.json.encode(row))
        inside(strange)[number]["zz"] = 1
        read = source.to_record(strange)
        if isinstance(read, RankedCandidates):
            assert any("`zz`" in name for name in read.unread), strange
            continue
        for target_id in writable():
            if KINDS[type(read)] in get(target_id).kinds:
                assert told(read, target_id, "zz"), (target_id, strange)


@pytest.mark.parametrize(
    ("format_id", "row", "carried"),
    [
        ("swift", {"messages": [USER, {**ANSWER, "loss": False}]}, ("loss",)),
        ("openai", {"messages": [USER, {**ANSWER, "weight": 0}]}, ("weight",)),
        (
            "openai",
            {"messages": [USER, {"role": "assistant", "content": None, "refusal": "I cannot"}]},
            ("refusal",),
        ),
        (
            "lf-sharegpt",
            {
                "conversations": [{"from": "human", "value": "q"}],
                "chosen": {"from": "gpt", "value": "a", "score": 2},
                "rejected": {"from": "gpt", "value": "b", "score": 1},
            },
            ("score",),
        ),
        ("trl", {"prompt": [USER], "chosen": [{**ANSWER, "score": 1}], "rejected": [ANSWER]}, ("score",)),
        (
            "sharegpt",
            {
                "conversations": [
                    {"from": "human", "value": "q", "id": "1"},
                    {"from": "gpt", "value": "a", "model": "m"},
                ]
            },
            ("id", "model"),
        ),
    ],
)
def test_a_row_written_in_its_own_format_is_the_same_row(
    format_id: str, row: dict[str, Any], carried: tuple[str, ...]
) -> None:
    written = get(format_id).from_record(get(format_id).to_record(row))
    assert written.row == row
    assert written.lost == ()
    assert {f"`{key}` of a turn" for key in carried} - set(written.ignored) <= {
        f"`{key}` of a turn" for key in get(format_id).turn_reads
    }


def test_targets_without_turns_name_what_they_lose() -> None:
    pair = get("trl").to_record(
        {
            "prompt": [USER],
            "chosen": [{**ANSWER, "score": 1}],
            "rejected": [{"role": "assistant", "content": "y"}],
        }
    )
    assert get("mmpr").from_record(pair).lost == ("`score` of a turn",)
    assert record_id(pair) == record_id(
        get("trl").to_record({"prompt": [USER], "chosen": [ANSWER], "rejected": [ANSWER]})
    )


def test_keys_of_the_prompt_that_only_the_rejected_side_has_are_named() -> None:
    turns = [{"from": "human", "value": "q"}, {"from": "bot", "value": "a"}]
    other = [{"from": "human", "value": "q", "weight": 2}, {"from": "bot", "value": "b"}]
    pair = get("ixc-reward").to_record({"conversations_a": turns, "conversations_b": other})
    assert isinstance(pair, PreferencePair)
    assert pair.unread == ("`weight` of a turn of the rejected side's prompt",)


def test_flattening_names_the_keys_of_the_turns() -> None:
    turns = [USER, {**ANSWER, "loss": False}, USER]
    pair = get("trl").to_record(
        {"prompt": turns, "chosen": [ANSWER], "rejected": [{**ANSWER, "content": "y"}]}
    )
    flat, done = flatten(pair)
    assert done
    assert get("mmpr").from_record(flat).lost == ("`loss` of a turn",)


def test_a_null_says_nothing() -> None:
    row = {"messages": [USER, {**ANSWER, "refusal": None}]}
    assert get("internvl-sft").from_record(get("openai").to_record(row)).lost == ()
    assert canonical(get("openai").to_record(row)) == canonical(
        get("openai").to_record({"messages": [USER, ANSWER]})
    )


@pytest.mark.parametrize("strange", [[1], {"deep": 1}, 1])
def test_a_part_of_media_with_a_strange_reference(strange: Any) -> None:
    """Neither an error nor silence: a placeholder of the row's image, and the name of what was not read."""
    part = {"type": "image", "value": strange}
    row = {"images": ["a.png"], "prompt": [{"role": "user", "content": [part]}], "chosen": [ANSWER]}
    read = get("trl").to_record({**row, "rejected": [{**ANSWER, "content": "y"}]})
    assert told(read, "trl", "value")
