"""`povid`: POVID: a LLaVA conversation and a second, rejected one, on one image. Read only."""

from typing import ClassVar

import msgspec

from prefdata.formats.base import Holds
from prefdata.formats.chat import ROLES, Turn
from prefdata.formats.dialect import IMAGE
from prefdata.formats.two_chats import TwoChats


class Row(msgspec.Struct, gc=False):
    """A pair as two conversations."""

    conversations: list[Turn]
    rejected_conversations: list[Turn]
    image: str | None = None


class Povid(TwoChats):
    """POVID rows."""

    id = "povid"
    title = "POVID pairs of conversations"
    row = Row
    marker = IMAGE
    sides: ClassVar[tuple[str, str]] = ("conversations", "rejected_conversations")
    roles = ROLES
    writes = False
    uniform = True
    holds = Holds(turns=True, system=False, images="one")
    content_keys = frozenset({"conversations", "rejected_conversations", "image"})
    sample = (
        '[{"id":"c1","image":"a.jpg","conversations":[{"from":"human","value":"<image>\\nWhat?"},'
        '{"from":"gpt","value":"Cup"}],"rejected_conversations":[{"from":"human","value":"<image>\\nWhat?"},'
        '{"from":"gpt","value":"Hat"}]}]'
    )
