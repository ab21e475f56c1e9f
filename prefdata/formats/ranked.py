"""What the formats with several rated answers share: prompt, candidates, and a signature over all of it. Read only."""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Choice, Format, Holds, Kind, Signature
from prefdata.formats.fields import number, said


class Ranked(Format):
    """Base: a format whose rows are rankings."""

    kinds: ClassVar[tuple[Kind, ...]] = ("ranking",)
    marker = None
    writes = False
    holds = Holds(turns=False, system=False, images="none", literal="always")

    def images(self, row: Any) -> str | list[str] | None:
        """Found by the slow path."""
        return None

    def signature(self, row: Any) -> Signature:
        """Everything."""
        return "", msgspec.json.encode(row).decode(), "", ""


def choice(text: str, field: str, *, score: Any = None, rank: Any = None, **meta: Any) -> Choice:
    """A candidate of plain text; `meta` without what is absent."""
    kept = {key: value for key, value in meta.items() if value is not None}
    return Choice(turns=[said(text, field)], score=number(score), rank=number(rank), meta=kept)


def items(value: Any) -> list[dict[str, Any]]:
    """Completions as a list of objects, also when `datasets` turned them into an object of lists."""
    if isinstance(value, dict):
        lists = {key: column for key, column in value.items() if isinstance(column, list)}
        length = max((len(column) for column in lists.values()), default=0)
        return [
            {key: column[index] for key, column in lists.items() if index < len(column)}
            for index in range(length)
        ]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def unread_in(completions: list[dict[str, Any]], *known: str) -> tuple[str, ...]:
    """Names of what answers hold beside the known keys, and their ratings beside the rating itself."""
    names: dict[str, None] = {}
    for item in completions:
        for key, value in item.items():
            if key not in known and value is not None:
                names[f"`{key}` of an answer"] = None
        axes = item.get("annotations") if "annotations" in known else None
        for name, axis in axes.items() if isinstance(axes, dict) else ():
            for key, value in axis.items() if isinstance(axis, dict) else ((name, axis),):
                if value is not None and (key != "Rating" or number(value) is None):
                    names[f"`{key}` of a rating"] = None
    return tuple(names)


def ratings(annotations: Any) -> dict[str, float]:
    """axis -> rating of one completion; ratings are often texts, and not always numbers."""
    found = {}
    for axis, value in annotations.items() if isinstance(annotations, dict) else ():
        rating = number(value.get("Rating") if isinstance(value, dict) else None)
        if rating is not None:
            found[axis] = rating
    return found


def mean(found: dict[str, float]) -> float | None:
    """The mean over axes; None without any rating."""
    return sum(found.values()) / len(found) if found else None


def need(choices: list[Choice], field: str) -> Iterator[tuple[str, str, str]]:
    """At least two candidates."""
    if len(choices) < 2:
        yield (
            "PD022",
            field,
            f"{len(choices)} readable answer{'' if len(choices) == 1 else 's'}, two are needed",
        )
