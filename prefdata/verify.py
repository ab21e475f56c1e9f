"""Proof of a conversion: the written file is read back, and each of its records must be the one that was written.

What a format cannot say is taken out of both sides first, and only that: an image without a place stands in front, the
media of a row come in reading order, and what the conversion has reported as lost is not asked for. A record is kept as
16 bytes, so that the size of the file does not matter.
"""

from pathlib import Path
from typing import Any

import msgspec
import xxhash

from prefdata.containers import Container, without_none
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.formats import BadRow, Format
from prefdata.formats.dialect import in_reading_order
from prefdata.formats.holding import MEDIA_KEYS, NAMES, of_turn
from prefdata.readers import plain_rows
from prefdata.records import (
    Conversation,
    LabelledAnswer,
    Media,
    Message,
    PreferencePair,
    Question,
    RankedCandidates,
    Record,
)


class Verifier:
    """Remembers what was written, then compares it with what is read."""

    def __init__(self) -> None:
        self._expected: list[tuple[bytes, tuple[str, ...], int]] = []
        self._losses: dict[tuple[str, ...], tuple[str, ...]] = {}

    def expect(self, record: Record, lost: tuple[str, ...], line: int) -> None:
        """Remember a record as it was written, with what it lost and the line it comes from."""
        lost = self._losses.setdefault(lost, lost)
        self._expected.append((digest(record, lost), lost, line))

    def check(self, written: Path, container: Container, fmt: Format, source: Path) -> None:
        """Read the file back. Raises PrefdataError at the first record that differs."""
        rows = plain_rows(written, container)
        for number, (digested, lost, line) in enumerate(self._expected, start=1):
            _, row = next(rows, (0, None))
            if row is None:
                raise _failed(source, line, number, "is missing")
            try:
                found = fmt.to_record(row)
            except BadRow as error:
                raise _failed(source, line, number, f"cannot be read back ({error})") from error
            if digest(found, lost) != digested:
                raise _failed(source, line, number, "reads back as another record")
        if next(rows, None) is not None:
            raise _failed(source, 0, len(self._expected) + 1, "was never asked for")


def _failed(source: Path, line: int, number: int, what: str) -> PrefdataError:
    return PrefdataError(
        f"{source}:{line}: row {number} of the result {what}; nothing was written. Please report this as a fault.",
        exit_code=EXIT_DATA,
    )


def digest(record: Record, lost: tuple[str, ...] = ()) -> bytes:
    """The content of a record as 16 bytes."""
    return xxhash.xxh3_128_digest(msgspec.json.encode(canonical(record, lost), order="sorted"))


def canonical(record: Record, lost: tuple[str, ...] = ()) -> list[Any]:
    """A record as plain values, in the one form that all formats can say."""
    sides = _sides(record)
    turns = tuple(turn for side in sides for turn in side)
    # Numbered stand-ins go through the ordering, so that the other side's media can follow it.
    placed, order = in_reading_order(turns, _numbered(record.media), leave_single=False)
    ranks = [int(item.uri or 0) for item in order] or list(range(len(record.media)))
    media = [_medium(record.media[index], lost) for index in ranks]
    others = record.rejected_media if isinstance(record, PreferencePair) else None
    kept = [_turn(turn, lost) for turn in placed]
    meta = {key: value for key, value in record.meta.items() if key not in lost}
    return [
        type(record).__name__,
        [len(side) for side in sides],
        kept,
        media,
        None if others is None else [_medium(others[index], lost) for index in ranks],
        _rest(record),
        None if "id" in lost else record.id,
        # Parquet cannot tell an absent key from an empty one.
        without_none(meta),
    ]


def _numbered(media: tuple[Media, ...]) -> tuple[Media, ...]:
    return tuple(Media(uri=str(index)) for index in range(len(media)))


def _sides(record: Record) -> list[tuple[Message, ...]]:
    if isinstance(record, Conversation):
        return [record.messages]
    if isinstance(record, PreferencePair):
        return [record.prompt, record.chosen, record.rejected]
    if isinstance(record, LabelledAnswer):
        return [record.prompt, record.answer]
    if isinstance(record, RankedCandidates):
        return [record.prompt, *(candidate.messages for candidate in record.candidates)]
    return [record.prompt]


def _rest(record: Record) -> Any:
    if isinstance(record, PreferencePair):
        return record.margin
    if isinstance(record, LabelledAnswer):
        return record.label
    if isinstance(record, Question):
        return [record.answer, record.chosen, record.answer_type, record.options]
    if isinstance(record, RankedCandidates):
        return [(one.score, one.rank, one.meta) for one in record.candidates]
    return None


def _medium(item: Media, lost: tuple[str, ...]) -> Any:
    data = None if item.data is None else xxhash.xxh3_128_hexdigest(item.data)
    return [item.uri, data, item.kind, {} if MEDIA_KEYS in lost else item.extra]


def _turn(turn: Message, lost: tuple[str, ...]) -> Message:
    if turn.extra:
        extra = {key: value for key, value in turn.extra.items() if of_turn(key) not in lost}
        turn = msgspec.structs.replace(turn, extra=without_none(extra))
    if NAMES not in lost:
        return turn
    calls = tuple(msgspec.structs.replace(call, id=None) for call in turn.calls)
    return msgspec.structs.replace(turn, calls=calls, call_id=None, name=None)
