"""`lf-v1`: LLaMA-Factory v1: messages of {type, value} parts, plain or as two sides. Read only.

The prompt of a pair is the common beginning of `chosen_messages` and `rejected_messages`. `loss_weight` is carried
(under that name) only where it is not what it means anyway: 1 for the assistant, 0 for the others.
"""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from prefdata.formats.base import Found, Holds, Kind, Turn, View
from prefdata.formats.building import dropped
from prefdata.formats.messages import Messages, common_beginning, part_problems
from prefdata.formats.ranked import Ranked
from prefdata.records import Record

_SIDES = ("chosen_messages", "rejected_messages")


class Line(msgspec.Struct, gc=False):
    """One turn."""

    role: str
    content: list[dict[str, Any]]
    loss_weight: float | None = None


class Row(msgspec.Struct, gc=False):
    """A conversation or a pair of them."""

    messages: list[Line] | None = None
    chosen_messages: list[Line] | None = None
    rejected_messages: list[Line] | None = None


class LfV1(Ranked):
    """LLaMA-Factory v1 rows."""

    id = "lf-v1"
    title = "LLaMA-Factory v1 messages with typed contents, plain or as pairs"
    kinds: ClassVar[tuple[Kind, ...]] = ("pair", "conversation")
    row: ClassVar[type[msgspec.Struct]] = Row
    holds = Holds(
        turns=True,
        system=True,
        tools=True,
        kinds=("image", "video", "audio"),
        literal="always",
        many_answers=True,
        calls=True,
        reasoning=True,
    )
    content_keys = frozenset({"messages", *_SIDES})
    sample = (
        '{"messages":[{"role":"user","content":[{"type":"image_url","value":"a.jpg"},'
        '{"type":"text","value":"Color?"}]},'
        '{"role":"assistant","content":[{"type":"text","value":"Red."}]}]}'
    )

    def view(self, row: dict[str, Any]) -> View:
        """The row with places."""
        media: list[Found] = []
        if row.get(_SIDES[0]) is None and row.get(_SIDES[1]) is None:
            turns = _turns(row, "messages", media)
            return View(kind="conversation", prompt=turns, media=media)
        others: list[Found] = []
        better, worse = _turns(row, _SIDES[0], media), _turns(row, _SIDES[1], others)
        cut = common_beginning([_said(turn) for turn in better], [_said(turn) for turn in worse])
        return View(
            kind="pair",
            prompt=better[:cut],
            chosen=better[cut:],
            rejected=worse[cut:],
            implicit=True,
            media=media,
            rejected_media=others if [m.media for m in others] != [m.media for m in media] else None,
            unread=dropped(worse[:cut], better[:cut]),
        )

    def shape(self, row: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
        """One conversation or two, and known parts."""
        present = [key for key in ("messages", *_SIDES) if row.get(key) is not None]
        if not present:
            yield "PD021", "messages", ""
        if len(set(present) & set(_SIDES)) == 1:
            yield "PD021", next(key for key in _SIDES if key not in present), ""
        for key in present:
            yield from part_problems(row.get(key), key)

    def to_record(self, row: dict[str, Any]) -> Record:
        """The record, with the weights that say something."""
        record = super().to_record(row)
        weights = {}
        for key in ("messages", *_SIDES):
            turns = row.get(key)
            given = [turn.get("loss_weight") for turn in turns] if isinstance(turns, list) else []
            usual = [float(turn["role"] == "assistant") for turn in turns or []]
            if any(weight not in (None, plain) for weight, plain in zip(given, usual, strict=True)):
                weights[key] = given
        return (
            msgspec.structs.replace(record, meta={**record.meta, "loss_weight": weights})
            if weights
            else record
        )


def _turns(row: dict[str, Any], key: str, media: list[Found]) -> list[Turn]:
    # Weights are kept by `to_record`.
    return [
        msgspec.structs.replace(turn, extra={k: v for k, v in turn.extra.items() if k != "loss_weight"})
        for turn in Messages(media).turns(row.get(key), key)
    ]


def _said(turn: Turn) -> tuple[object, ...]:
    return turn.role, turn.parts, turn.calls, turn.reasoning
