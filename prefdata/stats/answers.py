"""The answers of any record, in one shape: what statistics and the report compare.

A pair has `chosen` and `rejected`; rated candidates stand from best to worst; a single answer is just that. The
decision to question: candidates without score or rank keep the order of the row.
"""

from typing import Literal

import msgspec

from prefdata.records import (
    Conversation,
    LabelledAnswer,
    Message,
    PreferencePair,
    RankedCandidates,
    Record,
)

Side = Literal["chosen", "rejected", "answer", "candidate"]


class Answer(msgspec.Struct, frozen=True):
    """One answer. `label` is what it is called where people read it."""

    side: Side
    label: str
    text: str


def answers_of(record: Record) -> tuple[Answer, ...]:
    """Every answer of the record, best first; empty where the row only asks."""
    if isinstance(record, PreferencePair):
        return (
            Answer("chosen", "Chosen", turns_text(record.chosen)),
            Answer("rejected", "Rejected", turns_text(record.rejected)),
        )
    if isinstance(record, RankedCandidates):
        best = sorted(
            record.candidates,
            key=lambda found: (
                found.rank if found.rank is not None else 0.0,
                -found.score if found.score is not None else 0.0,
            ),
        )
        return tuple(
            Answer(
                "candidate",
                f"Candidate {place}{_rating(found.score, found.rank)}",
                turns_text(found.messages),
            )
            for place, found in enumerate(best, start=1)
        )
    if isinstance(record, LabelledAnswer):
        return (Answer("answer", "Wanted" if record.label else "Not wanted", turns_text(record.answer)),)
    if isinstance(record, Conversation):
        return (Answer("answer", "Answer", turns_text(record.messages[_first_answer(record) :])),)
    if record.chosen is not None:
        return (Answer("answer", "Given answer", record.chosen),)
    return (Answer("answer", "Reference answer", " | ".join(record.answer)),) if record.answer else ()


def prompt_of(record: Record) -> tuple[Message, ...]:
    """The turns before the answers."""
    if isinstance(record, Conversation):
        return record.messages[: _first_answer(record)]
    return record.prompt


def is_pair(record: Record) -> bool:
    """Whether the first answer is preferred to the last."""
    return isinstance(record, PreferencePair) or (
        isinstance(record, RankedCandidates) and len(record.candidates) > 1
    )


def turns_text(turns: tuple[Message, ...]) -> str:
    """One assistant turn as it is; several with their roles, so that they can be told apart."""
    if len(turns) == 1 and turns[0].role == "assistant":
        return turns[0].text
    return "\n\n".join(
        turn.text if turn.role == "assistant" else f"[{turn.role}] {turn.text}" for turn in turns
    )


def _first_answer(record: Conversation) -> int:
    return next(
        (place for place, turn in enumerate(record.messages) if turn.role == "assistant"),
        len(record.messages),
    )


def _rating(score: float | None, rank: float | None) -> str:
    if score is not None:
        return f", score {score:g}"
    return f", rank {rank:g}" if rank is not None else ""
