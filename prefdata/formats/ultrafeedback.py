"""`ultrafeedback`: UltraFeedback, raw (rated completions) or binarized (two conversations with scores). Read only.

Raw: the score is `overall_score`, or the mean of the axes where it is absent. Binarized: the prompt is the common
beginning of both sides; `score_chosen` and `score_rejected` become the margin and stay in the record's meta.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Choice, Holds, Kind, View
from prefdata.formats.building import dropped
from prefdata.formats.fields import number, plain_turn
from prefdata.formats.messages import Messages, Said, common_beginning
from prefdata.formats.ranked import Ranked, choice, items, mean, need, ratings, unread_in


class Row(msgspec.Struct, gc=False):
    """Either of the two."""

    instruction: str | None = None
    completions: list[dict[str, Any]] | dict[str, Any] | None = None
    prompt: str | None = None
    chosen: list[Said] | None = None
    rejected: list[Said] | None = None
    score_chosen: float | None = None
    score_rejected: float | None = None


class UltraFeedback(Ranked):
    """UltraFeedback rows."""

    id = "ultrafeedback"
    title = "UltraFeedback, raw ratings or binarized pairs"
    kinds: ClassVar[tuple[Kind, ...]] = ("ranking", "pair")
    row = Row
    holds = Holds(turns=True, system=True, images="none", literal="always", many_answers=True)
    # `messages` of a binarized row repeats the chosen side.
    content_keys = frozenset(
        {"instruction", "completions", "models", "prompt", "chosen", "rejected", "messages"}
    )
    sample = (
        '{"prompt":"2+2?","chosen":[{"role":"user","content":"2+2?"},{"role":"assistant","content":"4"}],'
        '"rejected":[{"role":"user","content":"2+2?"},{"role":"assistant","content":"5"}],'
        '"score_chosen":9.0,"score_rejected":3.0}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        if row.get("completions") is not None:
            return View(
                kind="ranking",
                prompt=plain_turn(row, "instruction", "user"),
                candidates=_choices(row),
                unread=unread_in(
                    items(row["completions"]), "response", "overall_score", "model", "annotations"
                ),
            )
        chosen, rejected = row.get("chosen"), row.get("rejected")
        better = Messages([]).turns(chosen, "chosen")
        worse = Messages([]).turns(rejected, "rejected")
        cut = common_beginning(
            [(turn.role, turn.parts) for turn in better], [(turn.role, turn.parts) for turn in worse]
        )
        scores = number(row.get("score_chosen")), number(row.get("score_rejected"))
        gap = scores[0] - scores[1] if scores[0] is not None and scores[1] is not None else None
        return View(
            kind="pair",
            prompt=better[:cut],
            chosen=better[cut:],
            rejected=worse[cut:],
            margin=gap,
            implicit=True,
            unread=dropped(worse[:cut], better[:cut]),
        )

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """Two answers, or two sides."""
        if row.get("completions") is not None:
            yield from need(_choices(row), "completions")
            return
        for key in ("chosen", "rejected"):
            if row.get(key) is None:
                yield "PD021", key, ""


def _choices(row: dict[str, Any]) -> list[Choice]:
    choices = []
    for index, item in enumerate(items(row.get("completions"))):
        text, found = item.get("response"), ratings(item.get("annotations"))
        if not isinstance(text, str):
            continue
        score = number(item.get("overall_score"))
        place = f"completions[{index}].response"
        choices.append(
            choice(
                text,
                place,
                score=mean(found) if score is None else score,
                model=item.get("model"),
                ratings=found or None,
            )
        )
    return choices
