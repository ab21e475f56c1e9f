"""`sharegpt`: text conversations of {from, value} with the many role names of that family.

ms-swift's variant, `conversation` as a list of {human, assistant} pairs beside `system`, is read too. Written with
`human`, `gpt`, `system`, `function_call` and `observation`. There is no place for media.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import CannotHold, Format, Holds, Kind, Signature, Turn, View, Written
from prefdata.formats.calls import call_text, parse_calls
from prefdata.formats.fields import FROM_VALUE, extras, others, plain_turn, said, spoken, turns_of
from prefdata.formats.lf_sharegpt import with_calls
from prefdata.records import Conversation, Message, Role

ROLES: dict[str, Role] = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bing", "bard", "function_call"), "assistant"),
    "system": "system",
    **dict.fromkeys(("tool", "observation"), "tool"),
}
NAMES: dict[Role, str] = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}


class Line(msgspec.Struct, rename={"said": "from"}, gc=False):
    """One turn."""

    said: str
    value: str


class Row(msgspec.Struct, gc=False):
    """A conversation, under either key."""

    conversations: list[Line] | None = None
    conversation: list[dict[str, str]] | None = None
    system: str | None = None


class ShareGpt(Format):
    """ShareGPT conversations."""

    id = "sharegpt"
    title = "ShareGPT text conversations"
    kinds: ClassVar[tuple[Kind, ...]] = ("conversation",)
    row = Row
    marker = None
    container = "json"
    uniform = True
    holds = Holds(
        turns=True,
        system=True,
        tools=True,
        images="none",
        kinds=(),
        literal="always",
        calls=True,
        turn_keys=FROM_VALUE,
    )
    content_keys = frozenset({"conversations", "conversation", "system"})
    misspelt: ClassVar[dict[str, str]] = {"text": "value", "content": "value", "role": "from"}
    sample = (
        '[{"id":"s1","conversations":[{"from":"system","value":"Be brief."},{"from":"human","value":"Hi"},'
        '{"from":"gpt","value":"Hello."}]}]'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        turns = plain_turn(row, "system", "system")
        spoken = turns_of(row.get("conversations"), "conversations", ROLES, None)
        turns += [with_calls(turn, turn.field) for turn in spoken]
        return View(kind="conversation", prompt=turns + _rounds(row.get("conversation")))

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """One of the two keys, and calls that can be read."""
        if row.get("conversations") is None and row.get("conversation") is None:
            yield "PD021", "conversations", ""
        turns = row.get("conversations")
        for index, turn in enumerate(turns if isinstance(turns, list) else []):
            if isinstance(turn, dict) and turn.get("from") == "function_call":
                value = turn.get("value")
                if isinstance(value, str) and parse_calls(value) is None:
                    place = f"conversations[{index}].value"
                    yield "PD022", place, "a call is JSON text with `name` and `arguments`"

    def write(self, record: Conversation) -> Written:
        """The row of a conversation."""
        row: dict[str, Any] = {"conversations": [_row(turn) for turn in record.messages]}
        added, lost, carried = extras(record, row)
        identity = {"id": added.pop("id")} if "id" in added else {}
        return Written(identity | row | added, tuple(lost), tuple(name for name in carried if name != "id"))

    def images(self, row: Row) -> str | list[str] | None:
        """None."""
        return None

    def signature(self, row: Row) -> Signature:
        """All turns."""
        return "", msgspec.json.encode((row.system, row.conversations, row.conversation)).decode(), "", ""


def _rounds(value: Any) -> list[Turn]:
    turns = []
    for index, item in enumerate(value if isinstance(value, list) else []):
        for key, role in (("human", "user"), ("assistant", "assistant")):
            text = item.get(key) if isinstance(item, dict) else None
            if isinstance(text, str):
                turns.append(said(text, f"conversation[{index}].{key}", ROLES[role]))
        # What a round says of itself goes with its last turn.
        if turns and isinstance(item, dict) and (extra := others(item, "human", "assistant")):
            turns[-1] = msgspec.structs.replace(turns[-1], extra=turns[-1].extra | extra)
    return turns


def _row(turn: Message) -> dict[str, Any]:
    if not turn.calls:
        return spoken(turn, NAMES[turn.role], turn.text)
    if turn.content:
        raise CannotHold("text beside a tool call in one turn")
    return spoken(turn, "function_call", call_text(turn.calls))
