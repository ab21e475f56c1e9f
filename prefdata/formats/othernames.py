"""Names under which other sets keep a question and the two answers of a pair.

Where it stands: the sniffer asks here whether a row that looks like a question or a conversation is a pair under other
names, and the rules whether a worse answer is passed over. The decision to question: a list of names, not a likeness,
since `bad` and `negative` are two letters from nothing. Those that mean other things as well count in the sniffer only
beside their counterpart.
"""

from typing import Any

ASKED = ("prompt", "question", "query", "instruction", "input", "problem")
# Surely a worse answer, when it is a text, a turn or a list of them.
REJECTED = (
    "rejected",
    "reject",
    "rejected_response",
    "rejected_answer",
    "rejected_output",
    "rejected_text",
    "rejected_messages",
)
# worse -> better
_OPPOSITES = {
    "bad": "good",
    "worse": "better",
    "negative": "positive",
    "loser": "winner",
    "lose": "win",
    "dispreferred": "preferred",
}
WORSE = (*REJECTED, *_OPPOSITES)
BETTER = (
    *("chosen", "chosen_response", "chosen_answer", "chosen_output", "chosen_text"),
    *_OPPOSITES.values(),
    *("accepted", "response", "answer", "output"),
)


def says(value: Any) -> bool:
    """Whether a value can be an answer: a text, a turn or a list of them, and not a flag or a number."""
    return isinstance(value, str | list | dict) and bool(value)


def worse_key(row: dict[str, Any]) -> str | None:
    """The key of a row that holds the worse answer of a pair."""
    for key in WORSE:
        if key in row and says(row[key]) and (key in REJECTED or says(row.get(_OPPOSITES[key]))):
            return key
    return None
