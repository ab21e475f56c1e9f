"""One conversion, row by row: what a row becomes, and the notes about what its target cannot hold."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from prefdata.containers import Raw, as_row
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.extract import Extractor
from prefdata.formats import BadRow, CannotHold, Format
from prefdata.formats.flatten import flatten
from prefdata.formats.holding import SEVERAL_TURNS
from prefdata.formats.pairing import pairs_of
from prefdata.images import is_url
from prefdata.outcome import Options, Outcome, note
from prefdata.records import PreferencePair, RankedCandidates, Record
from prefdata.rowbytes import repeated_key, too_deep
from prefdata.rules import syntax
from prefdata.sinks import Sink
from prefdata.verify import Verifier


class RowWork:
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
        self._source, self._target, self._reader, self._writer = source, target, reader, writer
        self._options, self._outcome, self._inline = options, outcome, inline
        self._extract = Extractor(options.extract_images, target) if options.extract_images else None
        self.verifier = Verifier() if options.verify else None

    def decoded(self, raw: Raw) -> dict[str, Any] | None:
        """The row of a line; None where there is none (a blank line) or it cannot be read, which is noted."""
        row, problem = _decode(raw)
        if row is not None or problem:
            self._outcome.read += 1
        if problem:
            note(self._outcome.unreadable, problem, raw.line)
        return row

    def trial(self, row: dict[str, Any]) -> tuple[list[dict[str, Any]], Outcome]:
        """What a row would become, and what would be noted of it; nothing is remembered. No rows: it would not go."""
        outcome = Outcome(source=self._outcome.source, target=self._outcome.target)
        options = msgspec.structs.replace(self._options, on_loss="warn", verify=False)
        twin = RowWork(
            self._source, self._target, self._reader, self._writer, options, outcome, inline=self._inline
        )
        rows = list(twin.written(1, row))
        outcome.written = len(rows)
        fails = outcome.left_out or outcome.unreadable or (outcome.lost and self._options.on_loss == "error")
        return ([], outcome) if fails else (rows, outcome)

    def written(self, line: int, row: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """The rows that one row becomes: one, several pairs of a ranking, or none."""
        try:
            record = self._reader.to_record(row)
        except BadRow as error:
            note(self._outcome.unreadable, str(error), line)
            return
        for one in self._paired(record, line):
            if (found := self._row(one, line)) is not None:
                yield found

    def write(self, line: int, row: dict[str, Any], out: Sink) -> int:
        """Write what a row becomes; returns how many rows that is."""
        before = self._outcome.written
        for one in self.written(line, row):
            out.add(one)
            self._outcome.written += 1
        return self._outcome.written - before

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
        carries = self._outcome.relative_paths or _by_relative_path(record)
        if self._extract is not None:
            record, unknown = self._extract(record)
            lost = (*lost, *unknown)
        try:
            written = self._writer.from_record(record, inline=self._inline)
        except CannotHold as error:
            turns = str(error) == SEVERAL_TURNS and not self._options.flatten_turns
            hint = " (write it as a transcript with --flatten-turns)" if turns else ""
            self._left_out(f"{error}{hint}", line)
            return None
        self._outcome.relative_paths = carries
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


def _by_relative_path(record: Record) -> bool:
    others = record.rejected_media if isinstance(record, PreferencePair) else None
    return any(
        media.data is None
        and media.uri
        and not is_url(media.uri)
        and not media.uri.startswith(("/", "file://"))
        for media in (*record.media, *(others or ()))
    )


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
