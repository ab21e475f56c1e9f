"""The converter: rows of one format in, the same content in another out, with a report of what the target cannot hold.

Three things can happen to a row, and each is counted with its first lines: it is written whole; it is written, but
something beside its content is lost (a score, a key that collides); or it is *left out*, because the target has no
place for its content and writing it anyway would change what is asked or answered. Order is kept, the file appears
complete or not at all.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prefdata.arrays import BrokenArray
from prefdata.atomic import atomic_writer
from prefdata.containers import Container, Raw, parquet_rows, probe, raw_rows
from prefdata.copying import copy_elements, copy_lines
from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.formats import Format, get, writable
from prefdata.outcome import Options, Outcome, note
from prefdata.progress import progress
from prefdata.rowwork import RowWork
from prefdata.sinks import Lines, kind_of, sink
from prefdata.sniff import sniff
from prefdata.splice import available


def convert(source: Path, target: Path, options: Options) -> Outcome:
    """Convert a file. Raises PrefdataError, and then leaves no file behind."""
    writer = get(options.to)
    name, container = _source_format(source, options)
    reader = get(name)
    _refuse(reader, writer, source, target, options)
    outcome = Outcome(source=name, target=options.to)
    kind = kind_of(target, options.container, writer.container)
    work = RowWork(source, target, reader, writer, options, outcome, inline=kind == "parquet")
    # Extracting images writes files, and a limit counts rows: both take one row after another.
    one_by_one = options.limit is not None or options.extract_images is not None or container == "parquet"
    with atomic_writer(target) as stream, progress(f"convert to {options.to}") as bar:
        with sink(target, stream, kind) as out:
            if one_by_one or not (isinstance(out, Lines) and available() and reader.uniform):
                for line, row in _rows(source, container, options, work, outcome):
                    bar.advance(work.write(line, row, out))
            elif container == "jsonl":
                copy_lines(source, reader, work, out, outcome, bar)
            else:
                copy_elements(_elements(source, outcome), reader, work, out, outcome, bar)
        outcome.sort()
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
        name, container = sniffed.format, sniffed.container
    else:
        name, container = options.source, probe(source).container
    if container == "meta":
        raise PrefdataError(f"{source}: a mixture; convert its annotation files one by one.")
    return name, container


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


def _rows(
    source: Path, container: Container, options: Options, work: RowWork, outcome: Outcome
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Readable rows up to the limit; what cannot be read is noted."""
    if container == "parquet":
        for line, row in parquet_rows(source):
            if outcome.read == options.limit:
                return
            outcome.read += 1
            yield line, row
        return
    for raw in _elements(source, outcome) if container == "json" else raw_rows(source, container):
        if outcome.read == options.limit:
            return
        if (found := work.decoded(raw)) is not None:
            yield raw.line, found


def _elements(source: Path, outcome: Outcome) -> Iterator[Raw]:
    """The elements of an array; where it is broken is noted."""
    try:
        yield from raw_rows(source, "json")
    except BrokenArray as error:
        if not error.harmless:
            outcome.read += 1
            note(
                outcome.unreadable,
                f"the array is broken ({error.problem}), what follows was not read",
                error.line,
            )


def _nothing(source: Path, outcome: Outcome) -> str:
    tables = (outcome.unreadable, outcome.left_out)
    reasons = [f"{name} ({count.rows})" for table in tables for name, count in table.items()]
    why = "; ".join(reasons[:3]) or "the file has no rows"
    return f"{source}: no row could be converted: {why}. Nothing was written."
