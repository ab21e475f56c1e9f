"""`xtuner-pref`: XTuner's text preference rows: prompt, chosen and rejected, each a list of {role, content}.

Rows of it and explicit, text-only `trl` rows are the same; a file of them is told to be `trl`, which loses nothing.
"""

from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Format, Holds, Kind, Signature, View, Written
from prefdata.formats.fields import extras
from prefdata.formats.messages import TURN_KEYS, Messages, message_row
from prefdata.records import PreferencePair


class Said(msgspec.Struct, gc=False):
    """One turn."""

    role: str
    content: str


class Row(msgspec.Struct, gc=False):
    """A pair."""

    prompt: list[Said]
    chosen: list[Said]
    rejected: list[Said]


class XtunerPref(Format):
    """XTuner preference rows."""

    id = "xtuner-pref"
    title = "XTuner reward and DPO pairs, text only"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair",)
    row = Row
    marker = None
    uniform = True
    holds = Holds(
        turns=True,
        system=True,
        tools=True,
        images="none",
        kinds=(),
        literal="always",
        many_answers=True,
        turn_keys=TURN_KEYS,
    )
    content_keys = frozenset({"prompt", "chosen", "rejected"})
    misspelt: ClassVar[dict[str, str]] = {"reject": "rejected", "from": "role", "value": "content"}
    sample = (
        '{"prompt":[{"role":"user","content":"Hi"}],"chosen":[{"role":"assistant","content":"Hello"}],'
        '"rejected":[{"role":"assistant","content":"No"}]}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        reader = Messages([])
        prompt, chosen, rejected = (
            reader.turns(row.get(key), key) for key in ("prompt", "chosen", "rejected")
        )
        return View(kind="pair", prompt=prompt, chosen=chosen, rejected=rejected)

    def write(self, record: PreferencePair) -> Written:
        """The row of a pair."""
        row: dict[str, Any] = {
            key: [message_row(turn, turn.text, calls_as_text=False) for turn in side]
            for key, side in (
                ("prompt", record.prompt),
                ("chosen", record.chosen),
                ("rejected", record.rejected),
            )
        }
        added, lost, carried = extras(record, row)
        return Written(row | added, tuple(lost), tuple(carried))

    def images(self, row: Row) -> str | list[str] | None:
        """None."""
        return None

    def signature(self, row: Row) -> Signature:
        """Prompt and both sides, as JSON text."""
        prompt, chosen, rejected = (
            msgspec.json.encode(side).decode() for side in (row.prompt, row.chosen, row.rejected)
        )
        return "", prompt, chosen, rejected
