"""What `ixc-reward` and `povid` share: a pair written as two whole conversations that differ in their last turn."""

from typing import Any, ClassVar

from prefdata.formats.base import Format, Kind, Signature, Turn, View
from prefdata.formats.dialect import Splitter
from prefdata.formats.fields import blank_media, media_of, turns_of
from prefdata.records import Role


class TwoChats(Format):
    """Base: subclasses name the keys of the chosen and the rejected conversation, the roles and the placeholder."""

    kinds: ClassVar[tuple[Kind, ...]] = ("pair",)
    marker: ClassVar[str]
    sides: ClassVar[tuple[str, str]]
    roles: ClassVar[dict[str, Role]]
    container = "json"
    misspelt: ClassVar[dict[str, str]] = {
        "text": "value",
        "content": "value",
        "role": "from",
        "images": "image",
    }

    def view(self, row: dict[str, Any]) -> View:
        """The row with places; everything before the last turn is the prompt."""
        media = media_of(row, "image")
        splitters = [Splitter([found.media for found in media], {"image": self.marker}) for _ in self.sides]
        (prompt, chosen), (other, rejected) = (
            _cut(turns_of(row.get(key), key, self.roles, splitter))
            for key, splitter in zip(self.sides, splitters, strict=True)
        )
        return View(
            kind="pair",
            prompt=prompt,
            chosen=chosen,
            rejected=rejected,
            rejected_prompt=other,
            media=media,
            blank_media=blank_media(row, "image"),
            front=len(media) == 1,
            slots=splitters[0].found,
        )

    def signature(self, row: Any) -> Signature:
        """Image(s), the chosen side's prompt, both last turns."""
        media = row.image if isinstance(row.image, str) else "\0".join(row.image or ())
        a, b = (getattr(row, key) for key in self.sides)
        prompt = "\0".join(f"{turn.said}\1{turn.value}" for turn in a[:-1])
        return media, prompt, a[-1].value if a else "", b[-1].value if b else ""


def _cut(turns: list[Turn]) -> tuple[list[Turn], list[Turn]]:
    if turns and turns[-1].role in ("assistant", None):
        return turns[:-1], turns[-1:]
    return turns, []
