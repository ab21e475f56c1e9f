"""`vlrb` and `rmbench`: VL-RewardBench and RM-Bench as inputs. Read only.

VL-RewardBench ranks two responses: 0 in `human_ranking` marks the better. RM-Bench has three chosen and three rejected
answers to one prompt, from concise to plain to markdown: every chosen one is better than every rejected one, and
nothing is said within a side, so they are a ranking with two ranks.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Choice, Found, Holds, Kind, View
from prefdata.formats.fields import media_of, plain_turn, said
from prefdata.formats.ranked import Ranked, choice

STYLES = ("concise", "plain", "markdown")


class VlrbRow(msgspec.Struct, gc=False):
    """A question with two responses."""

    query: str
    response: list[str]
    human_ranking: list[int]


class Vlrb(Ranked):
    """VL-RewardBench rows."""

    id = "vlrb"
    title = "VL-RewardBench pairs"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair",)
    row: ClassVar[type[msgspec.Struct]] = VlrbRow
    holds = Holds(turns=False, system=False, images="one", literal="always", inline=True)
    content_keys = frozenset({"query", "response", "image", "image_path"})
    sample = (
        '{"id":"1","query":"Is there a dog?","response":["No.","Yes, a dog."],"human_ranking":[1,0],'
        '"image_path":"dog.jpg"}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        view = View(kind="pair", prompt=plain_turn(row, "query", "user"), media=_image(row), front=True)
        answers, order = row.get("response"), row.get("human_ranking")
        if not list(self.shape(row)) and isinstance(answers, list) and isinstance(order, list):
            better = order.index(0)
            view.chosen = [said(answers[better], f"response[{better}]")]
            view.rejected = [said(answers[1 - better], f"response[{1 - better}]")]
        return view

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Two responses and which of them is the better one."""
        answers, order = row.get("response"), row.get("human_ranking")
        if isinstance(answers, list) and not (len(answers) == 2 and all(isinstance(a, str) for a in answers)):
            yield "PD022", "response", f"two responses are needed, not {len(answers)}"
        if isinstance(order, list) and order not in ([0, 1], [1, 0]):
            yield "PD022", "human_ranking", f"[0, 1] or [1, 0], not {order}"


def _image(row: dict[str, Any]) -> list[Found]:
    return media_of(row, "image") or media_of(row, "image_path")


class RmBenchRow(msgspec.Struct, gc=False):
    """A prompt with three answers on each side."""

    prompt: str
    chosen: list[str]
    rejected: list[str]


class RmBench(Ranked):
    """RM-Bench rows."""

    id = "rmbench"
    title = "RM-Bench answers in three styles"
    row: ClassVar[type[msgspec.Struct]] = RmBenchRow
    content_keys = frozenset({"prompt", "chosen", "rejected"})
    sample = (
        '{"id":"1","prompt":"2+2?","chosen":["4","It is 4.","**4**"],"rejected":["5","It is 5.","**5**"]}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        choices: list[Choice] = []
        for rank, key in ((1, "chosen"), (2, "rejected")):
            texts = row.get(key)
            for index, text in enumerate(texts if isinstance(texts, list) else []):
                if isinstance(text, str):
                    style = STYLES[index] if index < len(STYLES) else None
                    choices.append(choice(text, f"{key}[{index}]", rank=rank, style=style))
        return View(kind="ranking", prompt=plain_turn(row, "prompt", "user"), candidates=choices)
