"""`ixc-reward`: InternLM-XComposer2.5-Reward training rows: two whole conversations, the chosen one under `_a`.

One JSON array per file, all rows with images or none. One image needs no placeholder (it is put before the whole
chat); several are marked `Image 1 <ImageHere>; `. The original loader takes every unknown role as the assistant's;
here an unknown role is an error.
"""

from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Holds, Written
from prefdata.formats.dialect import IXC, in_reading_order, join
from prefdata.formats.fields import FROM_VALUE, extras, spoken, uris
from prefdata.formats.two_chats import TwoChats
from prefdata.records import Message, PreferencePair, Role

ROLES: dict[str, Role] = {
    "system": "system",
    "human": "user",
    "user": "user",
    "bot": "assistant",
    "assistant": "assistant",
    "gpt": "assistant",
}
NAMES: dict[Role, str] = {"system": "system", "user": "human", "assistant": "bot"}


class Said(msgspec.Struct, rename={"said": "from"}, gc=False):
    """One turn."""

    said: str
    value: str


class Row(msgspec.Struct, gc=False):
    """A pair as two conversations."""

    conversations_a: list[Said]
    conversations_b: list[Said]
    image: str | list[str] | None = None


class IxcReward(TwoChats):
    """IXC-2.5-Reward pairs."""

    id = "ixc-reward"
    title = "InternLM-XComposer2.5-Reward preference pairs"
    row = Row
    marker = IXC
    one_modality = True
    sides: ClassVar[tuple[str, str]] = ("conversations_a", "conversations_b")
    roles = ROLES
    uniform = True
    holds = Holds(turns=True, system=True, literal="never", literal_in_answer=False, turn_keys=FROM_VALUE)
    content_keys = frozenset({"conversations_a", "conversations_b", "image"})
    sample = (
        '[{"id":7,"image":"imgs/cat.jpg","conversations_a":[{"from":"human","value":"How many cats?"},'
        '{"from":"bot","value":"Two cats."}],"conversations_b":[{"from":"human","value":"How many cats?"},'
        '{"from":"bot","value":"Five dogs."}]}]'
    )

    def write(self, record: PreferencePair) -> Written:
        """The row of a pair."""
        prompt, media = in_reading_order(record.prompt, record.media, leave_single=True)
        row: dict[str, Any] = {}
        if media:
            row["image"] = uris(media)[0] if len(media) == 1 else uris(media)
        for key, side in zip(self.sides, (record.chosen, record.rejected), strict=True):
            turns: tuple[Message, ...] = (*prompt, *side)
            row[key] = [spoken(turn, NAMES[turn.role], join(turn, media, {"image": IXC})) for turn in turns]
        added, lost, carried = extras(record, row)
        identity = {"id": added.pop("id")} if "id" in added else {}
        return Written(identity | row | added, tuple(lost), tuple(carried))
