"""`internvl-sft`: InternVL's chat rows. JSON lines only; its loader raises on a system turn and on a blank line."""

from prefdata.formats.base import Holds
from prefdata.formats.chat import Chat
from prefdata.formats.fields import FROM_VALUE


class InternvlSft(Chat):
    """InternVL conversations."""

    id = "internvl-sft"
    title = "InternVL chat conversations"
    uniform = True
    holds = Holds(turns=True, system=False, literal_in_answer=False, turn_keys=FROM_VALUE)
    sample = (
        '{"id":0,"image":["a.jpg","b.jpg"],"conversations":[{"from":"human","value":"<image>\\n<image>\\nDiffer?"},'
        '{"from":"gpt","value":"Yes."}]}'
    )
