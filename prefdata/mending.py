"""`--fix`: a clean file beside the data, and every row that is not in it, with the reason.

Rows without errors are copied byte for byte (warnings do not reject a row), rows whose errors the catalogue calls
fixable are written anew, blank lines and a byte-order mark are left out, and all other rows go to `NAME.rejected.jsonl`
with their findings. Names in .gz or .zst are packed. Two passes: what contradicts a later row is only known at the end.
Memory holds the bad rows' findings, nothing of the good ones but their keys.
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO

import msgspec

from prefdata.arrays import BrokenArray
from prefdata.atomic import atomic_writer, keep_inputs
from prefdata.blocks import blocks
from prefdata.checkfile import FileCheck, Tally
from prefdata.compressed import packing, wanted
from prefdata.containers import Container, Raw, probe, raw_rows, reading
from prefdata.errors import PrefdataError
from prefdata.findings import Chosen, Hit, catalogue, finding
from prefdata.formats import get
from prefdata.jsonl import encode_row
from prefdata.rules import syntax
from prefdata.rules.image import ImageChecker
from prefdata.rules.tokens import token_check
from prefdata.sniff import sniff
from prefdata.validate import ALL, Options


class Mended(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the rows, and where they are."""

    output: str
    rejected_to: str
    kept: int
    mended: int
    rejected: int
    backup: str = ""
    left_out: tuple[str, ...] = ()
    """What is not in the clean file and belongs to no row."""


def mend(path: Path, output: Path | None, options: Options) -> Mended:
    """Write the clean rows of `path` to `output`, or in its own place (None) with a backup. Raises PrefdataError."""
    if path.is_dir():
        raise PrefdataError(f"{path}: --fix takes one data file, not a folder.")
    sniffed = sniff(path) if options.format is None else None
    container = sniffed.container if sniffed else probe(path).container
    if container not in ("jsonl", "json"):
        raise PrefdataError(f"{path}: --fix mends JSON lines and arrays; this is {container}.")
    # Through a link: the file that it names is mended, the link stays.
    target = Path(os.path.realpath(path)) if output is None else output
    if output is not None and output.exists() and os.path.samefile(path, output):
        raise PrefdataError(f"{output}: is the input itself; use --in-place to replace it, with a backup.")
    backup = target.with_name(target.name + ".bak")
    if output is None and probe(path).compressed:
        raise PrefdataError(f"{path}: is compressed; write the clean rows elsewhere with --output.")
    bare = Path(target.stem) if wanted(target) else target
    rejected_to = target.with_name(f"{bare.stem}.rejected.jsonl")
    keep_inputs(rejected_to, [path])
    if os.path.lexists(rejected_to):
        # Rows of another run, perhaps the only copy; and where nothing is rejected now it would look current.
        raise PrefdataError(f"{rejected_to}: exists, and rejected rows would go there; move it away first.")
    format_id = sniffed.format if sniffed else str(options.format)
    left_out = ["A byte-order mark"] if probe(path).bom else []
    bad = _judge(path, container, format_id, options, left_out)
    if output is None:
        if not bad and not left_out and (rows := _all_rows(path, container)) is not None:
            return Mended(output=str(target), rejected_to="", kept=rows, mended=0, rejected=0)
        if os.path.lexists(backup):
            raise _taken(backup)
    with ExitStack() as files:
        # Entered first, so that it sees whether the clean file took its place.
        kept_as = files.enter_context(_undone(backup)) if output is None else None
        stream = files.enter_context(atomic_writer(target))
        clean = files.enter_context(packing(stream, wanted(target)))
        done = _write(path, container, bad, clean, rejected_to, files)
        if kept_as is not None:
            _back_up(target, backup)
            kept_as.append(backup)
    return Mended(
        output=str(target),
        rejected_to=str(rejected_to) if done[2] else "",
        kept=done[0],
        mended=done[1],
        rejected=done[2],
        backup=str(backup) if output is None else "",
        left_out=tuple(left_out),
    )


@contextmanager
def _undone(backup: Path) -> Iterator[list[Path]]:
    """Takes the backups put into the list away where the file that they are of was not replaced."""
    made: list[Path] = []
    try:
        yield made
    except BaseException:
        for one in made:
            one.unlink(missing_ok=True)
        raise


def _back_up(path: Path, backup: Path) -> None:
    """Give the file a second name, or copy it where there are no hard links; never over another backup."""
    try:
        os.link(path, backup)
    except FileExistsError as error:
        raise _taken(backup) from error
    except OSError:
        try:
            with open(backup, "xb") as target, open(path, "rb") as source:
                shutil.copyfileobj(source, target)
        except FileExistsError as error:
            raise _taken(backup) from error
        shutil.copystat(path, backup)


def _taken(backup: Path) -> PrefdataError:
    return PrefdataError(f"{backup}: the backup of another --in-place; move it away first.")


def _judge(
    path: Path, container: Container, format_id: str, options: Options, left_out: list[str]
) -> dict[int, list[Hit]]:
    """Findings of the rows that cannot stay as they are, by the row's number (blank lines counted)."""
    tally = Tally()
    chosen = Chosen(options.select, options.ignore)
    checker = ImageChecker(options.image_root, path.parent, options.images)
    tokens = token_check(options.tokens, options.image_root, path.parent)
    check = FileCheck(get(format_id), checker, tally, chosen, ALL, tokens, options.ratio)
    bad: dict[int, list[Hit]] = {}
    for _ in _checked(path, container, check, left_out):
        for number, hit in tally.hits:
            if catalogue()[hit.code].severity == "error":
                bad.setdefault(number, []).append(hit)
        tally.hits.clear()
    for _, number, hit in tally.duplicates.hits([str(path)]):
        if hit.code == "PD502" and hit.code in chosen:
            bad.setdefault(number, []).append(hit)
    return bad


def _checked(path: Path, container: Container, check: FileCheck, left_out: list[str]) -> Iterator[None]:
    if container == "jsonl":
        with reading(path) as stream:
            for block in blocks(stream):
                check.block(block)
                yield
        return
    for raw in _numbered(path, container, left_out):
        check.raw(raw)
        yield


def _numbered(path: Path, container: Container, left_out: list[str] | None = None) -> Iterator[Raw]:
    """Rows with their number instead of their line: an array may have many on one line."""
    try:
        for number, raw in enumerate(raw_rows(path, container), start=1):
            yield msgspec.structs.replace(raw, line=number)
    except BrokenArray as error:
        if not error.harmless:
            raise PrefdataError(
                f"{path}:{error.line}: the array is broken ({error.problem}) and cannot be mended; "
                "what follows would be lost."
            ) from error
        if left_out is not None:
            left_out.append(f"{error.problem[0].upper()}{error.problem[1:]}")


def _all_rows(path: Path, container: Container) -> int | None:
    """How many rows there are; None where there are blank lines to leave out."""
    count = 0
    for raw in _numbered(path, container):
        if raw.data.isspace():
            return None
        count += 1
    return count


def _write(
    path: Path,
    container: Container,
    bad: dict[int, list[Hit]],
    clean: BinaryIO,
    rejected_to: Path,
    files: ExitStack,
) -> tuple[int, int, int]:
    """(kept, mended, rejected)."""
    kept = mended = 0
    rejects: BinaryIO | None = None
    rejected = 0
    for raw in _numbered(path, container):
        hits = bad.get(raw.line, [])
        if not hits and raw.data.isspace():
            continue
        row = raw.data.strip()
        if hits and all(catalogue()[hit.code].fixable for hit in hits):
            value, _ = syntax.decode(raw)
            row, mended = msgspec.json.encode(value), mended + 1
        elif hits:
            if rejects is None:
                rejects = files.enter_context(atomic_writer(rejected_to))
            rejects.write(encode_row(_rejected(path, raw, hits)))
            rejected += 1
            continue
        between = b"" if container == "jsonl" else b",\n" if kept else b"[\n"
        clean.write(between + row + (b"\n" if container == "jsonl" else b""))
        kept += 1
    if container == "json":
        clean.write(b"\n]\n" if kept else b"[]\n")
    return kept, mended, rejected


def _rejected(path: Path, raw: Raw, hits: list[Hit]) -> dict[str, object]:
    found = [finding(hit, str(path), raw.line) for hit in hits]
    return {
        "row_number": raw.line,
        "findings": [{"code": each.code, "field": each.field, "message": each.message} for each in found],
        "row": raw.data.decode("utf-8", "backslashreplace").strip(),
    }
