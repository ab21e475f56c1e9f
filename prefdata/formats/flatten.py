"""Several turns as one: for targets that hold a single question, and only when the user asks for it."""

import msgspec

from prefdata.formats.holding import NAMES, of_turn
from prefdata.records import Conversation, Message, Part, Record, Role, Text, merge_text

_LABELS: dict[Role, str] = {"user": "User", "assistant": "Assistant", "tool": "Tool"}


def flatten(record: Record) -> tuple[Record, bool]:
    """The record with its prompt as one user turn (a transcript); False when nothing had to be done.

    A leading system turn stays a turn of its own. Turns with calls or reasoning have no text that would say them and
    stay; conversations have no prompt apart from their answers and stay as well.
    """
    if isinstance(record, Conversation):
        return record, False
    systems = record.prompt[:1] if record.prompt and record.prompt[0].role == "system" else ()
    turns = record.prompt[len(systems) :]
    if len(turns) < 2:
        return record, False
    if any(turn.calls or turn.reasoning for turn in turns):
        return record, False
    parts: list[Part] = []
    for index, turn in enumerate(turns):
        label = _LABELS.get(turn.role, "System")
        parts += [Text(("\n\n" if index else "") + f"{label}: "), *turn.content]
    question = Message("user", merge_text(tuple(parts)))
    lost = dict.fromkeys(
        of_turn(key) for turn in turns for key, value in turn.extra.items() if value is not None
    )
    if any(turn.name or turn.call_id for turn in turns):
        lost[NAMES] = None
    unread = tuple(dict.fromkeys((*record.unread, *lost)))
    return msgspec.structs.replace(record, prompt=(*systems, question), unread=unread), True
