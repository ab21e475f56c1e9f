"""The inner loop of validation: one row after another through the fast path or the slow one.

See `validate.py` for why there are two. Nothing here looks at a file: rows come in, counts and hits go out, so a
process can run it over any byte range.
"""

import re
from collections.abc import Sequence
from typing import Any

import msgspec

from prefdata.arrays import BrokenArray
from prefdata.blocks import Block, lines_of
from prefdata.containers import Raw
from prefdata.findings import Chosen, Hit
from prefdata.formats.base import Format, Signature, Turn
from prefdata.rowbytes import too_deep
from prefdata.rowscan import SCANNERS
from prefdata.rules import image, length, pair, repetition, row_hits, syntax
from prefdata.rules.duplicate import Duplicates
from prefdata.rules.tokens import TokenCheck
from prefdata.spelling import meant

# A row in which one of these is found is looked at closely: template tokens, other formats' placeholders, ASCII written
# as \\u00xx that could hide them, halves of surrogate pairs. Each pattern begins with one fixed byte, for which the
# search is a memchr; a search for a longer text of common letters costs more than decoding the row.
_HINTS = tuple(
    re.compile(pattern).search
    for pattern in (
        rb"<(?:\||/s>|ImageHere>|IMG_CONTEXT>|video>|__dj__image>)",
        rb"\[(?:UNUSED|/?INST\])",
        rb"\\u(?:00[2-7]|[dD][89a-fA-F])",
    )
)
_CUT = b'"length"'
# Keys of a row and of what is in it, of the lengths of keys of content and of what may be taken for them.
_KEYS = re.compile(rb'"(\w{3,15})"\s*:')


def _suspicious(data: bytes) -> bool:
    # Plain loops here and in `may_refuse`: a generator expression would cost more than the searches.
    for hint in _HINTS:
        if hint(data):
            return True
    return _CUT in data


def _needs_a_closer_look(signature: Signature) -> bool:
    """Whether the answers may loop, refuse or lack their reasoning; False is certain."""
    media, turns, chosen, rejected = signature
    if not rejected:
        return repetition.may_repeat(turns)
    return (
        (media != "" and pair.may_refuse(chosen))
        or pair.may_lack_reasons(chosen)
        or pair.may_lack_reasons(rejected)
        or repetition.may_repeat(chosen)
        or repetition.may_repeat(rejected)
    )


class Tally:
    """What a range of rows adds up to. Lines count from the beginning of the range."""

    def __init__(self) -> None:
        self.rows = self.lines = 0
        self.counts: dict[str, int] = {}
        self.hits: list[tuple[int, Hit]] = []
        self.lengths = length.Lengths()
        self.duplicates = Duplicates()
        self.references = image.References()
        # Line of the first row whose image is written as a "text", as a "list", is "there", is "absent".
        self.firsts: dict[str, int] = {}

    def merge(self, other: "Tally", file: int) -> None:
        """Add the tally of the range that follows this one in the same file."""
        for code, count in other.counts.items():
            self.counts[code] = self.counts.get(code, 0) + count
        self.hits += [(self.lines + line, hit) for line, hit in other.hits]
        self.lengths.add(other.lengths)
        self.duplicates.merge(other.duplicates, file, self.lines)
        moved = {kind: self.lines + line for kind, line in other.firsts.items()}
        self.firsts = moved | self.firsts
        self.references.add(other.references)
        self.rows += other.rows
        self.lines += other.lines


class FileCheck:
    """Checks the rows of one file (or one range of it)."""

    def __init__(
        self,
        fmt: Format,
        checker: image.ImageChecker,
        tally: Tally,
        wanted: Chosen,
        keep: int,
        tokens: TokenCheck | None = None,
        ratio: length.Ratio | None = None,
    ) -> None:
        self._format, self._checker, self.tally = fmt, checker, tally
        self._wanted, self._keep = wanted, keep
        self._decode = msgspec.json.Decoder(fmt.row).decode
        self._pairs = "pair" in fmt.kinds
        # Counting tokens takes the whole row, so nothing is accepted before.
        self._tokens, self._ratio = tokens, ratio
        self._scan = SCANNERS.get(fmt.id) if tokens is None and ratio is None else None
        # Other keys of a row are skipped where nothing asks for them.
        self._other_keys = "PD028" in wanted
        if self._other_keys:
            self._scan = None
        # Keys of media, whose near misses the struct would skip.
        self._media = [name for name in fmt.row.__struct_fields__ if name in syntax.LISTS]
        self._harmless: set[bytes] = set()
        self._content = [
            field.encode_name.encode()
            for field in msgspec.structs.fields(fmt.row)
            if field.required or field.encode_name in syntax.LISTS
        ]

    def block(self, block: Block) -> None:
        """Check some whole lines."""
        tally, first = self.tally, self.tally.lines + 1
        if block.cut:
            tally.lines += 1
            self.explain(Raw(first, block.data, cut=True))
        elif self._scan is None:
            for line in lines_of(block.data):
                tally.lines += 1
                self.raw(Raw(tally.lines, line, ended=line.endswith(b"\n")))
        else:
            self._scanned(block.data, first, *self._scan(block.data, first, self._checker.looks))

    def _scanned(
        self,
        data: bytes,
        first: int,
        lines: int,
        keys: bytes,
        places: bytes,
        closer: list[tuple[int, int, int]],
        references: list[tuple[int, str]],
        text_at: int,
        *lengths: int,
    ) -> None:
        """Take over what the compiled scanner accepted, and look at the rest."""
        tally = self.tally
        tally.lines += lines
        tally.rows += len(keys) // 8
        tally.duplicates.add_packed(keys, places)
        tally.lengths.add(length.Lengths(*lengths))
        if text_at >= 0:
            tally.firsts.setdefault("text", first + text_at)
        tally.references.count += len(references)
        for index, uri in references:
            for code, what in self._checker.check(uri):
                self._hit(first + index, Hit(code, "image", what))
        for index, start, end in closer:
            line = data[start:end]
            self.raw(Raw(first + index, line, ended=line.endswith(b"\n")))

    def raw(self, raw: Raw) -> None:
        """Check a row of text."""
        if self._tokens is not None or self._other_keys:
            self.explain(raw)
            return
        data = raw.data
        try:
            row = self._decode(data)
            # Keys that the struct does not name are skipped undecoded; their text must be UTF-8 all the same.
            if not data.isascii():
                data.decode()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError):
            self.explain(raw)
            return
        doubtful = _suspicious(data) or too_deep(data) or self._strange(row, data)
        signature = None if doubtful or not self._format.clean(row) else self._format.signature(row)
        if signature is None or _needs_a_closer_look(signature):
            self.explain(raw)
            return
        self.tally.rows += 1
        self._count_in(row, signature, signature[2:], raw.line)
        references = self._format.images(row)
        if references:
            places = _places(references)
            self.tally.references.count += len(places)
            for place, uri in places:
                for code, what in self._checker.check(uri):
                    self._hit(raw.line, Hit(code, place, what))

    def _strange(self, row: Any, data: bytes) -> bool:
        """Whether a key may be there twice, or a row without media has a key that may be meant for them."""
        keys = _KEYS.findall(data)
        if len(set(keys)) < len(keys) and any(keys.count(one) > 1 for one in self._content):
            return True
        for name in self._media:
            if getattr(row, name) is not None:
                return False
        for key in keys:
            if key not in self._harmless:
                name = key.decode()
                if name in self._format.misspelt or meant(self._format.row, name) is not None:
                    return True
                self._harmless.add(key)
        return False

    def explain(self, raw: Raw) -> None:
        """The slow path: everything that is wrong with the row."""
        row, hits = syntax.decode(raw)
        self.tally.rows += not (hits and hits[0].code == "PD005")
        for hit in hits:
            self._hit(raw.line, hit)
        if row is not None:
            self._rules(raw.line, row)

    def record(self, line: int, row: dict[str, Any]) -> None:
        """Check a row that comes as a dictionary."""
        self.tally.rows += 1
        self._rules(line, row)

    def _rules(self, line: int, row: dict[str, Any]) -> None:
        hits = list(syntax.shape(self._format, row))
        for hit in syntax.other_keys(self._format, row) if self._other_keys else ():
            self._hit(line, hit)
        view = self._format.view(row)
        if not hits:
            strict = msgspec.convert(row, self._format.row)
            sides = [_text(view.chosen), _text(view.rejected)] if view.kind == "pair" else ["", ""]
            self._count_in(strict, self._format.signature(strict), sides, line)
        # A turn that is there but of a wrong type is not in the view: rules on order would report its absence.
        broken = {hit.field.split("[")[0].split(".")[0] for hit in hits}
        counted = self._tokens.check(view) if self._tokens is not None and not hits else ()
        self.tally.references.count += sum(found.media.uri is not None for found in view.media)
        # A misspelt `image` is found under its name; that its placeholder has none follows from it.
        no_media = any(hit.code == "PD023" for hit in hits) and syntax.misspells_media(self._format, row)
        for hit in (*hits, *row_hits(view, self._format, row), *image.check(view, self._checker), *counted):
            told_already = (broken and hit.code in _NEED_ALL_TURNS) or (no_media and hit.code == "PD301")
            if hit in hits or not told_already:
                self._hit(line, hit)

    def _count_in(self, row: Any, signature: Signature, sides: Sequence[str], line: int) -> None:
        """What whole-file rules need of a row that has its format's shape."""
        self.tally.duplicates.add(signature, line)
        if self._pairs and sides[1]:
            self.tally.lengths.count(*sides)
            for hit in self._ratio.hits(*sides) if self._ratio is not None else ():
                self._hit(line, hit)
        found = getattr(row, "image", None)
        if (kind := _IMAGE_TYPES.get(type(found))) is not None:
            self._first(kind, line)
        if self._format.one_modality:
            self._first("there" if found else "absent", line)

    def _first(self, kind: str, line: int) -> None:
        if line < self.tally.firsts.get(kind, line + 1):
            self.tally.firsts[kind] = line

    def broken(self, error: BrokenArray) -> None:
        """Note where an array could not be followed any further."""
        self._hit(error.line, Hit("PD015" if error.harmless else "PD013", "", error.problem))

    def finish(self, bom: bool) -> None:
        """Findings about the file as a whole."""
        if bom:
            self._hit(1, Hit("PD004"))
        lines = self.tally.firsts
        if "text" in lines and "list" in lines:
            what = f"a text on line {lines['text']}, a list on line {lines['list']}"
            self._hit(max(lines["text"], lines["list"]), Hit("PD024", "image", what))
        if "there" in lines and "absent" in lines:
            what = f"an image on line {lines['there']}, none on line {lines['absent']}"
            self._hit(max(lines["there"], lines["absent"]), Hit("PD026", "image", what))
        for hit in self.tally.lengths.hits():
            self._hit(1, hit)

    def _hit(self, line: int, hit: Hit) -> None:
        if hit.code == "PD401":
            # Counted whether or not it is asked for: PD418 may be.
            self.tally.references.miss(hit.detail)
        if hit.code not in self._wanted:
            return
        count = self.tally.counts[hit.code] = self.tally.counts.get(hit.code, 0) + 1
        if count <= self._keep:
            self.tally.hits.append((line, hit))


_IMAGE_TYPES: dict[type, str] = {str: "text", list: "list"}
_NEED_ALL_TURNS = frozenset({"PD102", "PD103", "PD106", "PD206"})


def _text(turns: list[Turn]) -> str:
    return "".join(turn.text for turn in turns)


def _places(references: str | list[str]) -> list[tuple[str, str]]:
    if isinstance(references, str):
        return [("image", references)]
    return [(f"image[{index}]", uri) for index, uri in enumerate(references)]
