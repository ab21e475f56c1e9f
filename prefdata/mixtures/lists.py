"""Mixtures of one line per source: XComposer's `data.txt` (`path k`) and ms-swift's `path#N`.

The number of a data.txt is in thousands of rows (`given_num`, as every shipped script has it); `#N` is in rows. Read
leniently: tabs, several spaces, quoted paths, comments, blank lines, an optional third column with the image root, the
same path twice. What XComposer's own parser would fail on is told with its line.
"""

import re
from decimal import Decimal
from pathlib import Path

from prefdata.errors import PrefdataError
from prefdata.mixtures.model import Mixture, Source
from prefdata.mixtures.paths import find

_THOUSAND = Decimal(1000)
_FIELD = re.compile(r'"([^"]*)"|\'([^\']*)\'|(\S+)')
_COUNTED = re.compile(r"(.+)#(\d+)")


def read_lists(path: Path, text: str, image_root: Path | None) -> Mixture:
    """The mixture of a text of lines; its kind is told by the first entry."""
    entries = [
        (number, line.strip())
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]
    if not entries:
        raise PrefdataError(f"{path}: a mixture without sources.")
    if _COUNTED.fullmatch(entries[0][1]) and not entries[0][1].startswith(('"', "'")):
        return _swift(path, entries, image_root)
    sources, notes = [], []
    for number, line in entries:
        sources.append(_entry(path, number, line, image_root))
    for number, raw in enumerate(text.splitlines(), start=1):
        if (why := _strange(raw)) is not None:
            notes.append(f"{path}:{number}: {why}; XComposer's own parser fails on it.")
    paths = [source.annotation for source in sources]
    notes += [
        f"{path}: {twice} is listed more than once; all entries count here, only the last in XComposer."
        for twice in dict.fromkeys(p for p in paths if paths.count(p) > 1)
    ]
    refused = {"xcomposer": notes[0]} if any("parser fails" in note for note in notes) else {}
    return Mixture(tuple(sources), "data.txt", tuple(notes), refused)


def _entry(path: Path, number: int, line: str, image_root: Path | None) -> Source:
    fields = [next(filter(None, found.groups()), "") for found in _FIELD.finditer(line)]
    name, *rest = fields
    if len(rest) > 2:
        raise PrefdataError(
            f'{path}:{number}: {len(fields)} columns; quote a path with spaces: "{name} ..." 2.5'
        )
    count = None
    if rest:
        try:
            count = Decimal(rest[0]) * _THOUSAND
        except ArithmeticError:  # no number, or one beyond all exponents
            count = None
        if count is None or not count.is_finite() or count <= 0:
            raise PrefdataError(f"{path}:{number}: {rest[0]!r} is not a number of thousands above 0.")
    root = image_root or (find(path, rest[1]) if len(rest) > 1 else None)
    return Source(
        name=Path(name).stem, annotation=find(path, name), root=root, count=count,
        as_written=rest[0] if rest else None,
    )  # fmt: skip


def _strange(line: str) -> str | None:
    if not line.strip():
        return "a blank line"
    if line.lstrip().startswith("#"):
        return "a comment"
    if "\t" in line.strip() or "  " in line.strip():
        return "columns not separated by one space"
    if any(mark in line for mark in "\"'"):
        return "a quoted path"
    return None


def _swift(path: Path, entries: list[tuple[int, str]], image_root: Path | None) -> Mixture:
    sources = []
    for number, line in entries:
        counted = counted_source(path, line, image_root)
        if counted is None:
            counted = Source(name=Path(line).stem, annotation=find(path, line), root=image_root)
            if " " in line:
                raise PrefdataError(f"{path}:{number}: {line!r} is neither `path#N` nor a path.")
        sources.append(counted)
    return Mixture(tuple(sources), "swift")


def counted_source(beside: Path, text: str, image_root: Path | None) -> Source | None:
    """The source of `path#N`, None where the text is something else."""
    match = _COUNTED.fullmatch(text)
    if match is None:
        return None
    return Source(
        name=Path(match[1]).stem, annotation=find(beside, match[1]), root=image_root, count=Decimal(match[2]),
        as_written=match[2],
    )  # fmt: skip
