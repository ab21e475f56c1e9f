"""`rlaifv`, `spavl`, `rewardbench`: a flat question and two flat answers, read only; three formats that differ in keys.

The image of the first two is a struct {bytes, path} in parquet and stands before the text, which has no placeholder. A
literal `<image>` in their texts is therefore text. The test splits of SPA-VL have no pair and are refused.
"""

from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Format, Holds, Kind, Signature, View
from prefdata.formats.fields import Picture, answer_turn, media_of, plain_turn

_HOLDS = Holds(turns=False, system=False, images="one", literal="always", inline=True)


class Row(msgspec.Struct, gc=False):
    """A pair."""

    question: str
    chosen: str
    rejected: str
    image: Picture | str | None = None


class RlaifV(Format):
    """RLAIF-V rows."""

    id = "rlaifv"
    title = "RLAIF-V pairs with the image inside"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair",)
    row: ClassVar[type[msgspec.Struct]] = Row
    marker = None
    writes = False
    holds = _HOLDS
    asked: ClassVar[str] = "question"
    content_keys = frozenset({"question", "chosen", "rejected", "image"})
    sample = (
        '{"image":{"bytes":null,"path":"boat.jpg"},"question":"What is shown?","chosen":"A boat.",'
        '"rejected":"A plane.","idx":"0"}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        return View(
            kind="pair",
            prompt=plain_turn(row, self.asked, "user"),
            chosen=answer_turn(row, "chosen"),
            rejected=answer_turn(row, "rejected"),
            media=media_of(row, "image"),
            front=True,
        )

    def images(self, row: Any) -> str | list[str] | None:
        """The path; inline bytes need no file."""
        return row.image if isinstance(row.image, str) else None

    def signature(self, row: Any) -> Signature:
        """Image, question and both answers."""
        image = row.image
        media = image if isinstance(image, str) else repr((image.path, image.data)) if image else ""
        return media, row.question, row.chosen, row.rejected


class SpaVl(RlaifV):
    """SPA-VL rows."""

    id = "spavl"
    title = "SPA-VL safety pairs with the image inside"
    sample = (
        '{"image":"9.jpg","question":"Is it safe to touch?","chosen":"No, it is hot.","rejected":"Sure.",'
        '"image_name":"9.jpg"}'
    )


class BenchRow(msgspec.Struct, gc=False):
    """A pair of RewardBench."""

    prompt: str
    chosen: str
    rejected: str
    subset: str


class RewardBench(RlaifV):
    """RewardBench rows."""

    id = "rewardbench"
    title = "RewardBench pairs"
    row: ClassVar[type[msgspec.Struct]] = BenchRow
    holds = Holds(turns=False, system=False, images="none", literal="always")
    asked: ClassVar[str] = "prompt"
    content_keys = frozenset({"prompt", "chosen", "rejected"})
    sample = '{"prompt":"2+2?","chosen":"4","rejected":"5","subset":"math-prm","id":0}'

    def images(self, row: Any) -> str | list[str] | None:
        """None."""
        return None

    def signature(self, row: Any) -> Signature:
        """Question and both answers."""
        return "", row.prompt, row.chosen, row.rejected
