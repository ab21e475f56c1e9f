"""`llava`: LLaVA conversations in one JSON array. Its consumers move `<image>` to the front of the turn."""

from prefdata.formats.base import Holds, Written
from prefdata.formats.chat import Chat
from prefdata.formats.dialect import in_reading_order
from prefdata.formats.fields import FROM_VALUE
from prefdata.records import Conversation, MediaRef


class Llava(Chat):
    """LLaVA conversations."""

    id = "llava"
    title = "LLaVA conversations"
    container = "json"
    uniform = True
    holds = Holds(turns=True, system=False, literal_in_answer=False, turn_keys=FROM_VALUE)
    sample = (
        '[{"id":"x1","image":"coco/1.jpg","conversations":[{"from":"human","value":"<image>\\nWhat is it?"},'
        '{"from":"gpt","value":"A mug."}]}]'
    )

    def write(self, record: Conversation) -> Written:
        """The row of a conversation; what LLaVA's own loader does not keep is named."""
        written = super().write(record)
        lost = list(written.lost)
        if len(record.media) > 1:
            lost.append("several images (only LLaVA's successors read a list)")
        messages, _ = in_reading_order(record.messages, record.media, leave_single=True)
        if any(isinstance(part, MediaRef) for turn in messages for part in turn.content[1:]):
            lost.append("image position (readers move the image to the front of its turn)")
        return Written(written.row, tuple(lost), written.ignored)
