"""Tool calls: OpenAI's `tool_calls`, and the JSON text that LLaMA-Factory and ms-swift write as a turn of its own.

Arguments are kept as compact JSON text, because some files hold them as an object and some as text: both must be the
same record. Text that is not a JSON object stays as it is.
"""

from typing import Any

import msgspec

from prefdata.records import ToolCall


def make_call(name: Any, arguments: Any, identity: Any = None) -> ToolCall | None:
    """A call, or None when it has no name."""
    if not isinstance(name, str):
        return None
    if arguments is None:
        arguments = {}
    text = _compact(arguments) if isinstance(arguments, str) else _encode(arguments)
    return ToolCall(name, text, identity if isinstance(identity, str) else None)


def read_calls(value: Any) -> tuple[ToolCall, ...] | None:
    """OpenAI's list of calls, also without the wrapping `function`. None: not such a list."""
    calls = []
    for item in value if isinstance(value, list) else [None]:
        if not isinstance(item, dict):
            return None
        function = item.get("function", item)
        if not isinstance(function, dict):
            return None
        call = make_call(function.get("name"), function.get("arguments"), item.get("id"))
        if call is None:
            return None
        calls.append(call)
    return tuple(calls)


def unread_in_calls(value: Any) -> tuple[str, ...]:
    """Names of what calls hold that no record does (their place in a stream, a type of their own)."""
    names: dict[str, None] = {}
    for item in value if isinstance(value, list) else [value]:
        outer = item if isinstance(item, dict) else {}
        inner = outer.get("function", outer)
        for key, one in outer.items():
            own = key in ("function", "id") or (key == "type" and one == "function") or inner is outer
            if not own and one is not None:
                names[key] = None
        for key, one in inner.items() if isinstance(inner, dict) else ():
            if key not in ("name", "arguments") and one is not None and not (key == "id" and inner is outer):
                names[key] = None
        if outer.get("id") is not None and not isinstance(outer["id"], str):
            names["id"] = None
    return tuple(f"`{key}` of a tool call" for key in names)


def unread_in_text(text: str) -> tuple[str, ...]:
    """The same for calls written as JSON text."""
    try:
        return unread_in_calls(msgspec.json.decode(text))
    except (msgspec.DecodeError, RecursionError, ValueError):
        return ()


def parse_calls(text: str) -> tuple[ToolCall, ...] | None:
    """Calls written as JSON text: one object {name, arguments} or a list of them. None: not such a text."""
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    return read_calls(value if isinstance(value, list) else [value])


def call_rows(calls: tuple[ToolCall, ...], *, as_text: bool) -> list[dict[str, Any]]:
    """OpenAI's list; `as_text`: arguments as JSON text, as its API has them, else as an object, as templates want."""
    rows = []
    for call in calls:
        function = {"name": call.name, "arguments": call.arguments if as_text else _value(call.arguments)}
        identity = {"id": call.id} if call.id is not None else {}
        rows.append({**identity, "type": "function", "function": function})
    return rows


def call_text(calls: tuple[ToolCall, ...]) -> str:
    """Calls as JSON text."""
    rows = [{"name": call.name, "arguments": _value(call.arguments)} for call in calls]
    return msgspec.json.encode(rows[0] if len(rows) == 1 else rows).decode()


def read_tools(value: Any) -> Any:
    """The tools of a row: the list that JSON text of one stands for, anything else as it is."""
    if not isinstance(value, str):
        return value
    try:
        tools = msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return value
    return (
        tools
        if isinstance(tools, list) and tools and all(isinstance(tool, dict) for tool in tools)
        else value
    )


def tools_as_text(row: dict[str, Any]) -> dict[str, Any]:
    """The row with its tools as JSON text: LLaMA-Factory reads nothing else, and Arrow fills a list with nulls."""
    tools = row.get("tools")
    return row | {"tools": _encode(tools)} if isinstance(tools, list | dict) else row


def _value(arguments: str) -> Any:
    try:
        value = msgspec.json.decode(arguments)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return arguments
    return value if isinstance(value, dict) and _encode(value) == arguments else arguments


def _compact(text: str) -> str:
    try:
        value = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return text
    return _encode(value) if isinstance(value, dict) else text


def _encode(value: Any) -> str:
    return msgspec.json.encode(value).decode()
