"""The converter: rows of one format in, the same content in another out, with a report of what the target cannot hold.

Three things can happen to a row, and each is counted with its first lines: it is written whole; it is written, but
something beside its content is lost (a score, a key that collides); or it is *left out*, because the target has no
place for its content and writing it anyway would change what is asked or answered. Order is kept, the file appears
complete or not at all.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Literal

import msgspec

from prefdata.arrays import BrokenArray
from prefdata.containers import Container, Raw, parquet_rows, probe, raw_rows
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.formats import BadRow, CannotHold, Format, get
from prefdata.formats.flatten import flatten
from prefdata.jsonl import atomic_writer, encode_row
from prefdata.progress import progress
from prefdata.rules import syntax
from prefdata.sniff import sniff

_FIRST = 5


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to convert."""

    to: str
    source: str | None = None
    on_loss: Literal["warn", "error"] = "warn"
    flatten_turns: bool = False
    limit: int | None = None


class Count(msgspec.Struct):
    """How many rows, and the lines of the first of them."""

    rows: int = 0
    lines: list[int] = []


class Outcome(msgspec.Struct, kw_only=True):
    """What became of the rows. Keys of the three tables name what was lost, ignored or the reason for leaving out."""

    source: str
    target: str
    read: int = 0
    written: int = 0
    lost: dict[str, Count] = {}
    ignored: dict[str, Count] = {}
    left_out: dict[str, Count] = {}
    unreadable: dict[str, Count] = {}
    has_media: bool = False

    @property
    def unread(self) -> int:
        """Rows that could not be read."""
        return sum(count.rows for count in self.unreadable.values())


def convert(source: Path, target: Path, options: Options) -> Outcome:
    """Convert a file. Raises PrefdataError, and then leaves no file behind."""
    writer = get(options.to)
    name, container = _source_format(source, options)
    reader = get(name)
    _refuse(reader, writer, source, target)
    outcome = Outcome(source=name, target=options.to)
    with atomic_writer(target) as stream, progress(f"convert to {options.to}") as bar:
        for row in _converted(source, container, reader, writer, options, outcome):
            _write(stream, row, writer, outcome.written)
            outcome.written += 1
            bar.advance()
        if not outcome.written:
            raise PrefdataError(_nothing(source, outcome), exit_code=EXIT_DATA)
        if writer.container == "json":
            stream.write(b"\n]\n")
    return outcome


def _source_format(source: Path, options: Options) -> tuple[str, Container]:
    if options.source is None:
        sniffed = sniff(source)
        if sniffed.container == "meta":
            raise PrefdataError(f"{source}: a mixture; convert its annotation files one by one.")
        return sniffed.format, sniffed.container
    return options.source, probe(source).container


def _refuse(reader: Format, writer: Format, source: Path, target: Path) -> None:
    if not set(reader.kinds) & set(writer.kinds):
        have, need = " or ".join(reader.kinds), " or ".join(writer.kinds)
        raise PrefdataError(
            f"{source}: rows of `{reader.id}` are {have}s, `{writer.id}` holds {need}s; choose another --to."
        )
    if target.is_dir():
        raise PrefdataError(f"{target}: is a folder; name the file to write.")
    if target.exists() and os.path.samefile(source, target):
        raise PrefdataError(f"{target}: source and target are the same file; name another target.")


def _converted(
    source: Path, container: Container, reader: Format, writer: Format, options: Options, outcome: Outcome
) -> Iterator[dict[str, Any]]:
    for line, row in _rows(source, container, options, outcome):
        try:
            record = reader.to_record(row)
        except BadRow as error:
            _note(outcome.unreadable, str(error), line)
            continue
        outcome.has_media = outcome.has_media or bool(record.media)
        flattened = False
        if options.flatten_turns and not writer.holds.turns:
            record, flattened = flatten(record)
        try:
            written = writer.from_record(record)
        except CannotHold as error:
            if options.on_loss == "error":
                raise PrefdataError(
                    f"{source}:{line}: `{writer.id}` cannot hold {error}.", exit_code=EXIT_DATA
                ) from None
            _note(outcome.left_out, str(error), line)
            continue
        lost = (*written.lost, "turn structure (written as a transcript)") if flattened else written.lost
        if lost and options.on_loss == "error":
            raise PrefdataError(
                f"{source}:{line}: `{writer.id}` loses {', '.join(lost)}.", exit_code=EXIT_DATA
            )
        for name in lost:
            _note(outcome.lost, name, line)
        for name in written.ignored:
            _note(outcome.ignored, name, line)
        yield written.row


def _rows(
    source: Path, container: Container, options: Options, outcome: Outcome
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Readable rows up to the limit; what cannot be read is noted."""
    try:
        for line, data in parquet_rows(source) if container == "parquet" else _texts(source, container):
            if outcome.read == options.limit:
                return
            row, problem = (data, "") if isinstance(data, dict) else _decode(data)
            if row is not None or problem:
                outcome.read += 1
            if row is not None:
                yield line, row
            elif problem:
                _note(outcome.unreadable, problem, line)
    except BrokenArray as error:
        if not error.harmless:
            outcome.read += 1
            _note(
                outcome.unreadable,
                f"the array is broken ({error.problem}), what follows was not read",
                error.line,
            )


def _texts(source: Path, container: Container) -> Iterator[tuple[int, Raw]]:
    for raw in raw_rows(source, container):
        yield raw.line, raw


def _decode(raw: Raw) -> tuple[dict[str, Any] | None, str]:
    """(row, "") or (None, why); a blank line is neither."""
    try:
        row = msgspec.json.decode(raw.data)
        if isinstance(row, dict):
            return row, ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        pass
    _, hits = syntax.decode(raw)
    if not hits or hits[0].code == "PD005":
        return None, ""
    return None, f"not a JSON row ({hits[0].code})"


def _write(stream: BinaryIO, row: dict[str, Any], writer: Format, count: int) -> None:
    if writer.container == "jsonl":
        stream.write(encode_row(row))
    else:
        stream.write((b",\n" if count else b"[\n") + msgspec.json.encode(row))


def _note(table: dict[str, Count], name: str, line: int) -> None:
    count = table.setdefault(name, Count())
    count.rows += 1
    if len(count.lines) < _FIRST:
        count.lines.append(line)


def _nothing(source: Path, outcome: Outcome) -> str:
    tables = (outcome.unreadable, outcome.left_out)
    reasons = [f"{name} ({count.rows})" for table in tables for name, count in table.items()]
    why = "; ".join(reasons[:3]) or "the file has no rows"
    return f"{source}: no row could be converted: {why}. Nothing was written."
