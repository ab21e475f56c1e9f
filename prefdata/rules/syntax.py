"""PD0xx: can the row be read, and has it the keys and types of its format?

`decode` explains what the fast decoder refused, and repairs what is harmless enough to go on with the other rules, so
that a row shows all its problems at once.
"""

import json
import re
import types
import typing
from collections.abc import Iterator
from typing import Any, Union, get_args, get_origin

import msgspec

from prefdata.commas import trailing_commas, without
from prefdata.containers import Raw, as_row
from prefdata.findings import Hit, detail
from prefdata.formats.base import Format
from prefdata.rowbytes import repeated_key, too_deep

LISTS = ("image", "images", "video", "videos", "audio", "audios")


def decode(raw: Raw) -> tuple[dict[str, Any] | None, list[Hit]]:
    """The row as far as it can be read, and why the rest cannot."""
    data = raw.data
    if raw.cut:
        return None, [Hit("PD014", detail="over 64 MiB")]
    if data.isspace() or not data:
        return None, [Hit("PD005")]
    if b"\0" in data:
        return None, [Hit("PD003", detail=f"{data.count(0)} of them, the first at byte {data.index(0) + 1}")]
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        return None, [
            Hit("PD002", detail=f"byte {data[error.start]:#04x} at byte {error.start + 1} of the row")
        ]
    if too_deep(data):
        return None, [Hit("PD009")]
    try:
        value = as_row(msgspec.json.decode(data))
    except RecursionError:
        return None, [Hit("PD009")]
    except (msgspec.DecodeError, ValueError) as error:
        return _explain(raw, text, str(error))
    hits = [Hit("PD008", detail=found)] if (found := _surrogate(value, data)) else []
    if not isinstance(value, dict):
        return None, [*hits, Hit("PD010", detail=_type_name(value))]
    if (key := repeated_key(data, value)) is not None:
        return None, [*hits, Hit("PD018", key, f"`{key}`")]
    return (None if hits else value), hits


def _explain(raw: Raw, text: str, problem: str) -> tuple[dict[str, Any] | None, list[Hit]]:
    constants: list[str] = []
    try:
        value = json.loads(text.rstrip(), parse_constant=constants.append)
    except RecursionError:
        return None, [Hit("PD009")]
    except json.JSONDecodeError as error:
        return _repair(raw, text, error)
    except ValueError:
        return None, [Hit("PD016")]
    if constants:
        hits = [Hit("PD007", detail=name) for name in dict.fromkeys(constants)]
        if (found := _surrogate(value, raw.data)) is not None:
            return None, [*hits, Hit("PD008", detail=found)]
        return (value if isinstance(value, dict) else None), hits
    if "surrogate" in problem or "\\u" in text:
        return None, [Hit("PD008", detail=_half(raw.data))]
    if "out of range" in problem or "number" in problem.lower():
        return None, [Hit("PD016")]
    return None, [Hit("PD001", detail=problem)]


def _repair(raw: Raw, text: str, error: json.JSONDecodeError) -> tuple[dict[str, Any] | None, list[Hit]]:
    stripped = text.strip()
    if stripped.startswith("{'"):
        return None, [Hit("PD012", detail=detail(stripped[:40]))]
    if places := trailing_commas(raw.data):
        try:
            value = msgspec.json.decode(without(raw.data, places))
        except (msgspec.DecodeError, RecursionError, ValueError):
            pass
        else:
            return (value if isinstance(value, dict) else None), [Hit("PD011")]
    if not raw.ended and (error.pos >= len(stripped) or error.msg.startswith("Unterminated")):
        return None, [Hit("PD006", detail=f"it ends with {detail(stripped[-20:])}")]
    around = text[max(0, error.pos - 15) : error.pos + 15].strip()
    reason = error.msg.lower().removesuffix(" at")
    return None, [Hit("PD001", detail=f"{reason} at column {error.colno}, near {detail(around)}")]


def _surrogate(value: Any, data: bytes) -> str | None:
    if b"\\ud" not in data and b"\\uD" not in data:
        return None
    try:
        msgspec.json.encode(value).decode("utf-8")
    except (UnicodeError, ValueError, msgspec.EncodeError):
        return _half(data)
    return None


# An escape that is one half of a pair; whole pairs and escaped backslashes come first, so that they are passed over.
_HALF = re.compile(rb"\\\\|\\u[dD][89abAB]\w\w\\u[dD][c-fC-F]\w\w|(\\u[dD][89a-fA-F]\w\w)")


def _half(data: bytes) -> str:
    found = next((match for match in _HALF.finditer(data) if match[1]), None)
    return f"{found[1].decode()} at byte {found.start() + 1} of the row" if found else "in a text of the row"


def shape(fmt: Format, row: dict[str, Any]) -> Iterator[Hit]:
    """Missing keys, misspelt keys and wrong types of the whole row, not only the first of them."""
    yield from _struct(fmt, row, fmt.row, "")
    for code, field, what in (*fmt.shape(row), *fmt.unfit(row)):
        yield Hit(code, field, what)


def misspells_media(fmt: Format, row: dict[str, Any]) -> bool:
    """Whether a key of media stands in a row under a wrong name."""
    names = (name for name in fmt.row.__struct_fields__ if name in LISTS and name not in row)
    return any(fmt.mistaken(name, row, fmt.row) is not None for name in names)


def other_keys(fmt: Format, row: dict[str, Any]) -> Iterator[Hit]:
    """Keys that readers of the format do not know."""
    for key in row:
        if key not in fmt.reserved and key not in fmt.also_reads:
            yield Hit("PD028", key, f"`{key}`")


def _struct(fmt: Format, value: dict[str, Any], struct: type[msgspec.Struct], place: str) -> Iterator[Hit]:
    for field in msgspec.structs.fields(struct):
        name = field.encode_name
        where = f"{place}.{name}" if place else name
        if name in value:
            yield from _value(fmt, value[name], field.type, where)
            continue
        wrong = fmt.mistaken(name, value, struct)
        if wrong is not None:
            if field.required or name in LISTS:
                yield Hit("PD023", f"{place}.{wrong}" if place else wrong, f"`{wrong}` should be `{name}`")
        elif field.required:
            yield Hit("PD021", where)


def _value(fmt: Format, value: Any, kind: Any, place: str) -> Iterator[Hit]:
    options = get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)
    for option in options:
        if isinstance(value, dict) and isinstance(option, type) and issubclass(option, msgspec.Struct):
            yield from _struct(fmt, value, option, place)
            return
        if isinstance(value, list | dict) and get_origin(option) is list:
            (item,) = typing.get_args(option)
            if isinstance(value, dict):
                if _lists_of(item, value):
                    yield Hit("PD027", place, detail(value, 40))
                    return
                continue
            for index, element in enumerate(value):
                yield from _value(fmt, element, item, f"{place}[{index}]")
            return
    try:
        msgspec.convert(value, kind, strict=True)
    except msgspec.ValidationError as error:
        problem = str(error).partition(" - at ")[0].replace("`", "")
        structs = [
            option for option in options if isinstance(option, type) and issubclass(option, msgspec.Struct)
        ]
        if structs and problem.startswith("Expected object"):
            # Its first keys tell which object is meant.
            names = [field.encode_name for field in msgspec.structs.fields(structs[0])][:2]
            problem = f"expected an object with {' and '.join(names)}"
        code = "PD025" if place in LISTS and isinstance(value, str | list) else "PD022"
        yield Hit(code, place, f"{problem[0].lower()}{problem[1:]} ({detail(value, 40)})")


def _lists_of(item: Any, value: dict[str, Any]) -> bool:
    """Whether a table of columns stands where a list of such objects is needed."""
    if not (isinstance(item, type) and issubclass(item, msgspec.Struct)):
        return False
    names = {field.encode_name for field in msgspec.structs.fields(item)}
    return bool(names & value.keys()) and all(isinstance(column, list) for column in value.values())


def _type_name(value: Any) -> str:
    names = {list: "a list", str: "a text", int: "a number", float: "a number", bool: "true or false"}
    return names.get(type(value), "null")
