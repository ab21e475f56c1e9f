"""The converter: rows of one format in, the same content in another out, with a report of what the target cannot hold.

Three things can happen to a row, and each is counted with its first lines: it is written whole; it is written, but
something beside its content is lost (a score, a key that collides); or it is *left out*, because the target has no
place for its content and writing it anyway would change what is asked or answered. Order is kept, the file appears
complete or not at all.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec

from prefdata.arrays import BrokenArray
from prefdata.containers import Container, Raw, as_row, parquet_rows, probe, raw_rows
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.extract import Extractor
from prefdata.formats import BadRow, CannotHold, Format, get, writable
from prefdata.formats.flatten import flatten
from prefdata.formats.pairing import Policy, pairs_of
from prefdata.jsonl import atomic_writer
from prefdata.progress import progress
from prefdata.records import RankedCandidates, Record
from prefdata.rowbytes import repeated_key, too_deep
from prefdata.rules import syntax
from prefdata.sinks import kind_of, sink
from prefdata.sniff import sniff
from prefdata.verify import Verifier

_FIRST = 5


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to convert."""

    to: str
    source: str | None = None
    on_loss: Literal["warn", "error"] = "warn"
    flatten_turns: bool = False
    limit: int | None = None
    # How rankings become pairs; None: they are refused.
    pairing: Policy | None = None
    min_gap: float = 0.0
    container: Literal["jsonl", "json", "parquet"] | None = None
    extract_images: Path | None = None
    # Read the result back and compare before it takes its place.
    verify: bool = False


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
    verified: bool = False

    @property
    def unread(self) -> int:
        """Rows that could not be read."""
        return sum(count.rows for count in self.unreadable.values())


def convert(source: Path, target: Path, options: Options) -> Outcome:
    """Convert a file. Raises PrefdataError, and then leaves no file behind."""
    writer = get(options.to)
    name, container = _source_format(source, options)
    reader = get(name)
    _refuse(reader, writer, source, target, options)
    outcome = Outcome(source=name, target=options.to)
    kind = kind_of(target, options.container, writer.container)
    work = _Work(source, target, reader, writer, options, outcome, inline=kind == "parquet")
    with atomic_writer(target) as stream, progress(f"convert to {options.to}") as bar:
        with sink(target, stream, kind) as add:
            for line, row in _rows(source, container, options, outcome):
                for written in work.written(line, row):
                    add(written)
                    outcome.written += 1
                    bar.advance()
        if not outcome.written:
            raise PrefdataError(_nothing(source, outcome), exit_code=EXIT_DATA)
        if work.verifier is not None:
            stream.flush()
            work.verifier.check(Path(stream.name), kind, writer, source)
            outcome.verified = True
    return outcome


def _source_format(source: Path, options: Options) -> tuple[str, Container]:
    if options.source is None:
        sniffed = sniff(source)
        if sniffed.container == "meta":
            raise PrefdataError(f"{source}: a mixture; convert its annotation files one by one.")
        return sniffed.format, sniffed.container
    return options.source, probe(source).container


def _refuse(reader: Format, writer: Format, source: Path, target: Path, options: Options) -> None:
    have, need = set(reader.kinds), set(writer.kinds)
    if not writer.writes:
        raise PrefdataError(f"`{writer.id}` is only read; choose one of {', '.join(writable())}.")
    if "ranking" in have and "pair" in need:
        if have == {"ranking"} and options.pairing is None:
            raise PrefdataError(
                f"{source}: rows of `{reader.id}` are rankings; say which pairs to make of them: "
                "--pairing best-worst, all or adjacent."
            )
        have.add("pair")
    if not have & need:
        raise PrefdataError(
            f"{source}: rows of `{reader.id}` are {'s or '.join(reader.kinds)}s, "
            f"`{writer.id}` holds {'s or '.join(writer.kinds)}s; choose another --to."
        )
    if target.is_dir():
        raise PrefdataError(f"{target}: is a folder; name the file to write.")
    if target.exists() and os.path.samefile(source, target):
        raise PrefdataError(f"{target}: source and target are the same file; name another target.")


class _Work:
    """One conversion: a row in, its rows out, and the notes about them."""

    def __init__(
        self,
        source: Path,
        target: Path,
        reader: Format,
        writer: Format,
        options: Options,
        outcome: Outcome,
        *,
        inline: bool,
    ) -> None:
        self._source, self._reader, self._writer = source, reader, writer
        self._options, self._outcome, self._inline = options, outcome, inline
        self._extract = Extractor(options.extract_images, target) if options.extract_images else None
        self.verifier = Verifier() if options.verify else None

    def written(self, line: int, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The rows that one row becomes: one, several pairs of a ranking, or none."""
        try:
            record = self._reader.to_record(row)
        except BadRow as error:
            note(self._outcome.unreadable, str(error), line)
            return
        self._outcome.has_media = self._outcome.has_media or bool(record.media)
        for one in self._paired(record, line):
            if (found := self._row(one, line)) is not None:
                yield found

    def _paired(self, record: Record, line: int) -> Sequence[Record]:
        policy = self._options.pairing
        if not isinstance(record, RankedCandidates) or "ranking" in self._writer.kinds:
            return [record]
        if policy is None:
            self._left_out("a ranking (say which pairs to make of it with --pairing)", line)
            return []
        pairs = pairs_of(record, policy, self._options.min_gap)
        if not pairs:
            self._left_out("a ranking without two answers that differ enough", line)
        return pairs

    def _row(self, record: Record, line: int) -> dict[str, Any] | None:
        lost: tuple[str, ...] = ()
        if self._options.flatten_turns and not self._writer.holds.turns:
            record, flattened = flatten(record)
            lost = ("turn structure (written as a transcript)",) if flattened else ()
        if self._extract is not None:
            record, unknown = self._extract(record)
            lost = (*lost, *unknown)
        try:
            written = self._writer.from_record(record, inline=self._inline)
        except CannotHold as error:
            self._left_out(str(error), line)
            return None
        lost = (*written.lost, *lost)
        if lost and self._options.on_loss == "error":
            place = f"{self._source}:{line}"
            raise PrefdataError(f"{place}: `{self._writer.id}` loses {', '.join(lost)}.", exit_code=EXIT_DATA)
        for name in lost:
            note(self._outcome.lost, name, line)
        for name in written.ignored:
            note(self._outcome.ignored, name, line)
        if self.verifier is not None:
            self.verifier.expect(record, lost, line)
        return written.row

    def _left_out(self, why: str, line: int) -> None:
        if self._options.on_loss == "error":
            place = f"{self._source}:{line}"
            raise PrefdataError(f"{place}: `{self._writer.id}` cannot hold {why}.", exit_code=EXIT_DATA)
        note(self._outcome.left_out, why, line)


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
                note(outcome.unreadable, problem, line)
    except BrokenArray as error:
        if not error.harmless:
            outcome.read += 1
            note(
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
        row = as_row(msgspec.json.decode(raw.data))
        if isinstance(row, dict) and not too_deep(raw.data) and repeated_key(raw.data, row) is None:
            return row, ""
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
        pass
    _, hits = syntax.decode(raw)
    if not hits or hits[0].code == "PD005":
        return None, ""
    return None, f"not a JSON row ({hits[0].code})"


def note(table: dict[str, Count], name: str, line: int) -> None:
    """Count a row under a name."""
    count = table.setdefault(name, Count())
    count.rows += 1
    if len(count.lines) < _FIRST:
        count.lines.append(line)


def _nothing(source: Path, outcome: Outcome) -> str:
    tables = (outcome.unreadable, outcome.left_out)
    reasons = [f"{name} ({count.rows})" for table in tables for name, count in table.items()]
    why = "; ".join(reasons[:3]) or "the file has no rows"
    return f"{source}: no row could be converted: {why}. Nothing was written."
