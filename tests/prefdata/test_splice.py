"""Rows that are copied value by value come out as the ordinary conversion writes them, with the same counts."""

import json
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from prefdata import blocks, copying, splice
from prefdata import convert as conversion
from prefdata.convert import convert
from prefdata.errors import PrefdataError
from prefdata.formats import CannotHold, get, writable
from prefdata.outcome import Options, Outcome
from prefdata.records import Record
from tests.prefdata.formats.test_every_pair import agents, two_sided
from tests.prefdata.formats.test_round_trips import records

pytestmark = pytest.mark.skipif(not splice.available(), reason="built without a C compiler")

TARGETS = [name for name in writable() if "pair" in get(name).kinds]
WORDS = (
    *(
        "<image>",
        "<image>\n",
        "<image1>",
        "<ImageHere>",
        "<|im_end|>",
        "</s>",
        "[INST]",
        "<video>",
        "<think>",
    ),
    *(
        "<img>a.png</img>",
        "Human: ",
        "\n\nAssistant: ",
        "\u003cimage>",
        "a < b",
        "x<3",
        "[1]",
        "\x7f",
        "\x01",
    ),
    *(
        " ",
        "\n",
        "\t",
        "\\",
        '"',
        "/",
        "\u00a0",
        "\u3000",
        "\u2028",
        "\u0085",
        "é",
        "因",
        "。",
        "😀",
        "12",
        "-0",
    ),
    *("a", "B", "true", "null", "{}", "x" * 20, "data:", "http://x/"),
)
texts = st.lists(st.sampled_from(WORDS), max_size=5).map("".join)
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), texts
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
paths = st.sampled_from(
    ["a.png", "b/c.jpg", "", " ", "/a.png", "http://x/a.png", "a b.png", "é.png", "a\\b", ["a"]]
)
rows = st.fixed_dictionaries(
    {"question": texts, "chosen": texts, "rejected": texts},
    optional={
        "image": paths,
        "video": paths,
        "images": values,
        "id": values,
        "margin": values,
        "meta": values,
        "prompt": values,
        "messages": values,
        "label": values,
        "system_prompt": texts,
        "tools": values,
        "conversations": values,
        "source": texts,
        "extra": values,
        'a"b': values,
    },
)
GOOD = {"image": "a.png", "question": "<image>\nHow long?", "chosen": "3 cm", "rejected": "4 cm"}


@pytest.fixture(autouse=True, scope="module")
def small_blocks() -> Iterator[None]:
    """A row to a block, so that what was learned from one is used for the next."""
    before = blocks._BLOCK_BYTES
    blocks._BLOCK_BYTES = copying._BLOCK_BYTES = 1
    yield
    blocks._BLOCK_BYTES = copying._BLOCK_BYTES = before


def both(folder: Path, given_rows: bytes, options: Options) -> list[tuple[Outcome | str, Any]]:
    """What the two ways write and count."""
    source, target = folder / "a.jsonl", folder / "b.out"
    source.write_bytes(given_rows)
    results: list[tuple[Outcome | str, Any]] = []
    for available in (splice.available, lambda: False):
        before, conversion.available = conversion.available, available  # type: ignore[attr-defined]
        target.unlink(missing_ok=True)
        try:
            outcome: Outcome | str = convert(source, target, options)
        except PrefdataError as error:
            outcome = str(error)
        finally:
            conversion.available = before  # type: ignore[attr-defined]
        data = target.read_bytes() if target.exists() else b""
        lines = [data] if data.startswith(b"[") else data.split(b"\n")[:-1]
        written = [json.loads(line) for line in lines]
        results.append((outcome, written))
    return results


@given(
    some=st.lists(rows, min_size=1, max_size=4),
    to=st.sampled_from(TARGETS),
    ascii_only=st.booleans(),
    spaced=st.booleans(),
    options=st.fixed_dictionaries({"verify": st.booleans(), "on_loss": st.sampled_from(["warn", "error"])}),
)
@settings(max_examples=100, deadline=None)
def test_both_ways_agree(
    tmp_path_factory: pytest.TempPathFactory,
    some: list[dict[str, Any]],
    to: str,
    ascii_only: bool,
    spaced: bool,
    options: dict[str, Any],
) -> None:
    separators = (", ", ": ") if spaced else (",", ":")
    # A plain row of the same keys first, so that there is a template to be misled by.
    plain = [{key: _plain(key, value) for key, value in row.items()} for row in some]
    lines = [
        json.dumps(row, ensure_ascii=ascii_only, separators=separators).encode("utf-8", "surrogatepass")
        + b"\n"
        for pair in zip(plain, some, strict=True)
        for row in (*pair, pair[1])
    ]
    first, second = both(tmp_path_factory.mktemp("both"), b"".join(lines), Options(to=to, **options))
    assert first == second


def _plain(key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    return (
        "a.png" if key in ("image", "video") else "<image>\nWhat?" if value.startswith("<image>\n") else key
    )


@given(row=rows, spoil=st.data())
@settings(max_examples=60, deadline=None)
def test_damaged_lines_agree(
    tmp_path_factory: pytest.TempPathFactory, row: dict[str, Any], spoil: st.DataObject
) -> None:
    line = json.dumps(row).encode() + b"\n"
    damaged = bytearray(line)
    at = spoil.draw(st.integers(0, len(damaged) - 1))
    pieces = [
        *(b" ", b"\t"),
        b"",
        b'"',
        b"\\",
        b"\\u00",
        b"\\ud83d",
        b"\n",
        b"\0",
        b"\xff",
        b"\xed\xa0\x80",
        b"{",
        b"}",
        b",",
        b"0",
    ]
    damaged[at : at + spoil.draw(st.integers(0, 2))] = spoil.draw(st.sampled_from(pieces))
    data = json.dumps(GOOD).encode() + b"\n" + line + bytes(damaged) + line
    first, second = both(tmp_path_factory.mktemp("damaged"), data, Options(to="trl"))
    assert first == second


@given(block=st.binary(max_size=80), row=rows)
@example(b'{"question":"', GOOD)
@example(b'{"image":"a", "question":"<image>\\n', GOOD)
@example(b'{"image":"a","question":"<image>\\nx\\ud83d\\u', GOOD)
@settings(max_examples=60, deadline=None)
def test_any_bytes(block: bytes, row: dict[str, Any]) -> None:
    learned = splice.Splicer(lambda row: ([row], Outcome(source="", target="")), frozenset({"image"}), b"\n")
    learned.learn(row)
    lines = sum(len(item.templates) if isinstance(item, splice.Spliced) else 1 for item in learned(block))
    assert lines == len(list(blocks.lines_of(block)))


@given(
    reader=st.sampled_from([name for name in writable() if get(name).uniform]),
    writer=st.sampled_from(writable()),
    some=st.lists(st.one_of(records(), agents(), two_sided()), min_size=2, max_size=5),
    verify=st.booleans(),
    array=st.sampled_from([None, 0, 2]),
    odd=st.booleans(),
)
@settings(max_examples=120, deadline=None)
def test_every_pair_of_formats(
    tmp_path_factory: pytest.TempPathFactory,
    reader: str,
    writer: str,
    some: list[Record],
    verify: bool,
    array: int | None,
    odd: bool,
) -> None:
    lines = []
    for record in some:
        with suppress(CannotHold):
            row = get(reader).from_record(record).row
            plain = splice.Shape(row, get(reader).content_keys).filled(_ordinary)
            lines += [msgspec.json.encode(one) + b"\n" for one in (plain, row, plain)]
    assume(lines)
    options = Options(to=writer, source=reader, container="jsonl", verify=verify)
    if odd:
        lines = [_oddly_escaped(line) for line in lines]
    data = b"".join(lines)
    if array is not None:
        data = b"[" + b",".join(msgspec.json.format(line.strip(), indent=array) for line in lines) + b"]"
    first, second = both(tmp_path_factory.mktemp("pair"), data, options)
    assert first == second


def _oddly_escaped(line: bytes) -> bytes:
    """Every second slash and letter beyond ASCII as an escape, so that equal texts are written in two ways."""
    odd = cycle((True, False))
    return "".join(
        ("\\/" if one == "/" else json.dumps(one)[1:-1])
        if (one == "/" or one > "\x7f") and next(odd)
        else one
        for one in line.decode()
    ).encode()


def _ordinary(kind: str, number: int) -> splice.Mark:
    others: dict[str, splice.Mark] = {
        "o": {"a": "b"},
        "a": ["b"],
        "n": 3,
        "w": 2 * number,
        "r": f"{number}.png",
    }
    return others.get(kind, f"Number {number}: a sentence.")


def _parts(first: str, second: str) -> dict[str, Any]:
    texts = [{"type": "text", "text": first}, {"type": "text", "text": second}]
    return {
        "images": ["a.png"],
        "prompt": [{"role": "user", "content": [{"type": "image"}, *texts]}],
        "chosen": [{"role": "assistant", "content": "good"}],
        "rejected": [{"role": "assistant", "content": "bad"}],
    }


def _weighted(text: str, better: float, worse: float) -> dict[str, Any]:
    return {
        side: [{"role": "user", "content": text, "weight": weight}, {"role": "assistant", "content": side}]
        for side, weight in (("chosen", better), ("rejected", worse))
    }


def _labelled(text: str) -> dict[str, Any]:
    asked = {"from": "human", "value": f"Image 1 <ImageHere>; Image 2 <ImageHere>;{text}"}
    sides = {f"conversations_{side}": [asked, {"from": "bot", "value": f"{side}: {text}"}] for side in "ab"}
    return {"image": ["a.png", "b.png"], **sides}


def _called(number: str) -> str:
    call = f'{{"type":"function","function":{{"name":"f","arguments":{{"x":{number}}}}}}}'
    answer = f'{{"role":"assistant","content":null,"tool_calls":[{call}]}}'
    return f'{{"messages":[{{"role":"user","content":"About {number}?"}},{answer}]}}'


# Rows of one shape whose values together say something else than each by itself.
TOGETHER: dict[str, tuple[str, list[str], list[Any]]] = {
    "a marker of two parts": (
        "trl",
        ["mmpr", "lf-sharegpt", "swift"],
        [_parts("one", "two"), _parts("three", "four"), _parts("write <", "image> here")],
    ),
    "equal numbers": (
        "trl",
        ["trl", "xtuner-pref"],
        [
            _weighted(f"{n} a?", *pair)
            for n, pair in enumerate([(1, 1), (2, 2), (1, 2), (2, 3), (1, 1.0), (3, 3)])
        ],
    ),
    "a label that ends early": ("ixc-reward", ["mmpr", "ixc-reward"], [_labelled(f"{n} a?") for n in "123"]),
    "a label and a mark": ("ixc-reward", ["mmpr", "ixc-reward"], [_labelled(f";{n} a?") for n in "123"]),
    "numbers that become text": (
        "openai",
        ["openai", "swift"],
        [*map(_called, ["1.5", "2.5", "1.10", "3", "-0"])],
    ),
    "a word in pieces": (
        "mmpr",
        ["trl"],
        [{**GOOD, "tie": True}, json.dumps({**GOOD, "tie": True}).replace("true", "tr ue"), GOOD],
    ),
    "paths of two sorts": ("mmpr", ["swift", "trl"], [GOOD, {**GOOD, "image": "/b.png"}, GOOD]),
    "absolute paths": ("mmpr", ["swift"], [{**GOOD, "image": f"/{n}.png"} for n in range(3)]),
    "a row that teaches nothing": (
        "mmpr",
        ["trl"],
        [GOOD, {**GOOD, "image": "", "messages": True}, {**GOOD, "messages": True}],
    ),
}


@pytest.mark.parametrize("name", TOGETHER)
@pytest.mark.parametrize("on_loss", ["warn", "error"])
def test_values_that_mean_something_together(
    name: str, on_loss: Literal["warn", "error"], tmp_path: Path
) -> None:
    source, targets, some = TOGETHER[name]
    data = b"".join((row if isinstance(row, str) else json.dumps(row)).encode() + b"\n" for row in some)
    for to in targets:
        first, second = both(
            tmp_path, data, Options(to=to, source=source, container="jsonl", on_loss=on_loss)
        )
        assert first == second


def test_a_key_that_looks_like_a_hole(tmp_path: Path) -> None:
    data = json.dumps({**GOOD, "zq~hole~00": "a b"}).encode() + b"\n"
    first, second = both(tmp_path, 3 * data, Options(to="trl"))
    assert first == second


def test_ordinary_rows_are_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied = []
    call = splice.Splicer.__call__

    def spy(self: splice.Splicer, block: bytes) -> Iterator[splice.Spliced | splice.Left]:
        for item in call(self, block):
            copied.append(isinstance(item, splice.Spliced))
            yield item

    monkeypatch.setattr(splice.Splicer, "__call__", spy)
    meta = {"meta": {"score": [1, -2.5, None]}, "id": "x", "turn": 3, "tie": False}
    shapes = [GOOD, {**GOOD, **meta}, {key: GOOD[key] for key in ("chosen", "rejected", "question")}]
    for to in TARGETS:
        copied.clear()
        data = b"".join(json.dumps(row).encode() + b"\n" for row in (*shapes, *shapes))
        first, second = both(tmp_path, data, Options(to=to))
        assert first == second
        outcome = first[0]
        if isinstance(outcome, Outcome) and not outcome.left_out:
            assert copied == [False, False, False, True, True, True], to
