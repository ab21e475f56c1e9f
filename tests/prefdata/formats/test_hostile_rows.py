"""Whatever a row holds, reading it ends in a record or in a sentence about it: no format may fall over."""

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefdata.formats import BadRow, CannotHold, get, ids, writable
from prefdata.rules import row_hits, syntax
from prefdata.shapes import not_data
from prefdata.sniff import by_keys

WORDS = (
    *("user", "assistant", "human", "gpt", "bot", "tool_call", "function_call", "text", "image", "image_url"),
    *(
        "<image>",
        "<ImageHere>",
        "<image1>",
        "<img>u</img>",
        "<IMG_CONTEXT>",
        "\n\nHuman: ",
        "a.png",
        "",
        "{}",
        "7",
    ),
)
KEYS = (
    *(
        "role",
        "content",
        "from",
        "value",
        "type",
        "text",
        "image_url",
        "url",
        "tool_calls",
        "function",
        "name",
    ),
    *(
        "arguments",
        "answer",
        "rank",
        "response",
        "annotations",
        "Rating",
        "path",
        "bytes",
        "human",
        "assistant",
    ),
)
scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-1, 3), st.floats(allow_nan=False), st.sampled_from(WORDS)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=8,
)


def keys_of(format_id: str) -> list[str]:
    fmt = get(format_id)
    return sorted(fmt.reserved | {"id", "margin", "label"} - {"never"})


def spoilt(draw: st.DrawFn, value: Any) -> Any:
    """A sample's value with one place replaced by something else."""
    if isinstance(value, dict) and value and draw(st.booleans()):
        key = draw(st.sampled_from(sorted(value)))
        return {**value, key: spoilt(draw, value[key])}
    if isinstance(value, list) and value and draw(st.booleans()):
        index = draw(st.integers(0, len(value) - 1))
        return [*value[:index], spoilt(draw, value[index]), *value[index + 1 :]]
    return draw(values)


@st.composite
def rows(draw: st.DrawFn, format_id: str) -> dict[str, Any]:
    sample = msgspec.json.decode(get(format_id).sample)
    row: dict[str, Any] = dict(sample[0] if isinstance(sample, list) else sample)
    for _ in range(draw(st.integers(1, 3))):
        key = draw(st.sampled_from(keys_of(format_id)))
        row[key] = spoilt(draw, row.get(key))
    return row


@pytest.mark.parametrize("format_id", ids())
@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_no_row_makes_a_format_fall_over(format_id: str, data: st.DataObject) -> None:
    fmt = get(format_id)
    row = data.draw(rows(format_id))
    view = fmt.view(row)
    found = list(syntax.shape(fmt, row))
    list(row_hits(view, fmt, row))
    by_keys(row)
    not_data(row)
    if not found:
        strict = msgspec.convert(row, fmt.row)
        fmt.signature(strict)
        fmt.images(strict)
        fmt.clean(strict)
    try:
        record = fmt.to_record(row)
    except BadRow:
        return
    for target in writable():
        try:
            msgspec.json.encode(get(target).from_record(record).row)
        except CannotHold:
            continue
