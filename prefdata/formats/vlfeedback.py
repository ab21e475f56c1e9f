"""`vlfeedback`: VLFeedback: four answers to one question on one image, each rated on three axes. Read only.

The score of an answer is the mean of its ratings that are numbers. Completions come as a list of objects or, through
`datasets`, as an object of lists.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from prefdata.formats.base import Choice, Found, Holds, View
from prefdata.formats.fields import media_of, plain_turn
from prefdata.formats.ranked import Ranked, choice, items, mean, need, ratings, unread_in


class Row(msgspec.Struct, gc=False):
    """A question with its rated answers."""

    prompt: str
    completions: list[dict[str, Any]] | dict[str, Any]
    img_path: str | None = None


class VlFeedback(Ranked):
    """VLFeedback rows."""

    id = "vlfeedback"
    title = "VLFeedback answers with ratings"
    row = Row
    holds = Holds(turns=False, system=False, images="one", literal="always")
    content_keys = frozenset({"prompt", "completions", "img_path", "image", "models"})
    sample = (
        '{"id":"v1","prompt":"Describe.","img_path":"p.jpg","completions":[{"model":"m","response":"A car.",'
        '"annotations":{"Helpfulness":{"Rating":"4"}}},{"model":"n","response":"A bus.",'
        '"annotations":{"Helpfulness":{"Rating":"2"}}}]}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        return View(
            kind="ranking",
            prompt=plain_turn(row, "prompt", "user"),
            media=_image(row),
            front=True,
            candidates=_choices(row),
            unread=unread_in(items(row.get("completions")), "response", "model", "annotations"),
        )

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """At least two answers."""
        yield from need(_choices(row), "completions")


def _image(row: dict[str, Any]) -> list[Found]:
    return media_of(row, "img_path") or media_of(row, "image")


def _choices(row: dict[str, Any]) -> list[Choice]:
    choices = []
    for index, item in enumerate(items(row.get("completions"))):
        text, found = item.get("response"), ratings(item.get("annotations"))
        if isinstance(text, str):
            place = f"completions[{index}].response"
            choices.append(
                choice(text, place, score=mean(found), model=item.get("model"), ratings=found or None)
            )
    return choices
