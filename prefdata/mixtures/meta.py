"""InternVL's `meta.json`: an object of sources, each {root, annotation, data_augment, repeat_time, length, ...}.

Read leniently (a trailing comma, as in a file that InternVL itself ships, is accepted and reported), written strictly.
`problems` explains everything that is wrong, for the rules; `parse` keeps what can be used.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import msgspec

from prefdata.commas import trailing_commas, without
from prefdata.errors import PrefdataError
from prefdata.imageheader import Problem
from prefdata.jsonl import write_json
from prefdata.mixtures.counts import MOST_COPIES
from prefdata.mixtures.model import Mixture, Source
from prefdata.mixtures.paths import find, relative

_TELLING = ("repeat_time", "data_augment", "max_dynamic_patch")
KEYS = ("root", "annotation", "data_augment", "max_dynamic_patch", "repeat_time", "length")
# Not read by the original loaders, and worth keeping: under which terms a source may be used.
LICENCE = ("license", "licence")
_DECODER = msgspec.json.Decoder(float_hook=Decimal)


class MetaDocument(msgspec.Struct, frozen=True):
    """A decoded meta.json. `trailing` are the lines of the commas that had to be ignored."""

    sources: dict[str, Any]
    trailing: tuple[int, ...] = ()
    text: bytes = b""

    def line(self, name: str) -> int:
        """The line on which a source begins."""
        place = self.text.find(msgspec.json.encode(name))
        return self._line(max(place, 0))

    def repeated(self) -> Iterator[tuple[int, str]]:
        """(line, name) of sources whose name was there before: decoders keep the last one only."""
        names: list[str] = []

        def pairs(items: list[tuple[str, Any]]) -> None:
            names[:] = [name for name, _ in items]  # the outermost object is the last to be complete

        data = without(self.text, trailing_commas(self.text)) if self.trailing else self.text
        json.loads(data.removeprefix(b"\xef\xbb\xbf"), object_pairs_hook=pairs)
        for name in dict.fromkeys(name for name in names if names.count(name) > 1):
            written = re.compile(re.escape(msgspec.json.encode(name)) + rb"\s*:")
            places = [match.start() for match in written.finditer(self.text)]
            yield self._line(places[1] if len(places) > 1 else 0), name

    def _line(self, place: int) -> int:
        return self.text.count(b"\n", 0, place) + 1


def looks_like_meta(data: bytes) -> bool:
    """Whether the bytes are an object of objects with `annotation`, or with other keys that only sources have."""
    try:
        document = decode_meta(data)
    except ValueError:
        return False
    values = list(document.sources.values())
    if any(isinstance(value, dict) and "annotation" in value for value in values):
        return True
    # Sources whose annotation is missing: no row is made of objects with these keys, or of nothing at all.
    objects = bool(values) and all(isinstance(value, dict | None) for value in values)
    return objects and (not any(values) or any(key in value for value in values if value for key in _TELLING))


def decode_meta(data: bytes) -> MetaDocument:
    """Decode the text, ignoring trailing commas. Raises ValueError."""
    try:
        return _document(data, data, ())
    except msgspec.DecodeError:
        places = trailing_commas(data)
        lines = tuple(data.count(b"\n", 0, place) + 1 for place in places)
        return _document(without(data, places), data, lines)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ArithmeticError:
        raise ValueError("a number beyond all exponents") from None


def _document(cleaned: bytes, data: bytes, lines: tuple[int, ...]) -> MetaDocument:
    value = _DECODER.decode(cleaned.removeprefix(b"\xef\xbb\xbf"))
    if not isinstance(value, dict):
        raise ValueError("not an object of sources")
    return MetaDocument(value, lines, data)


def parse(path: Path, document: MetaDocument, image_root: Path | None) -> Mixture:
    """The mixture of a decoded meta.json. Raises PrefdataError naming the source and the key."""
    sources = []
    for line, name in document.repeated():
        raise PrefdataError(f"{path}:{line}: a second source {name!r}; give every source a name of its own.")
    for name, entry in document.sources.items():
        for problem in source_problems(name, entry):
            if problem.code in _FATAL:
                raise PrefdataError(f"{path}:{document.line(name)}: source {name!r}: {problem.detail}.")
        sources.append(make_source(path, name, entry, image_root))
    if not sources:
        raise PrefdataError(f"{path}: a mixture without sources.")
    return Mixture(tuple(sources))


def make_source(path: Path, name: str, entry: dict[str, Any], image_root: Path | None) -> Source:
    """One source; its relative paths are looked for beside the meta.json, then in the working directory."""
    root = entry.get("root")
    length, tiles = entry.get("length"), entry.get("max_dynamic_patch")
    return Source(
        name=name,
        annotation=find(path, entry["annotation"]),
        root=image_root if image_root is not None else find(path, root) if root else None,
        repeat_time=Decimal(str(entry.get("repeat_time", 1))),
        length=length if isinstance(length, int) else None,
        max_dynamic_patch=tiles if isinstance(tiles, int) else None,
        data_augment=entry.get("data_augment") is True,
        licence=next((str(entry[key]) for key in LICENCE if entry.get(key)), None),
    )


_FATAL = frozenset({"PD704", "PD705"})


def source_problems(name: str, entry: Any) -> Iterator[Problem]:
    """What is wrong with one source as written, files not looked at."""
    if not isinstance(entry, dict):
        yield Problem("PD705", f"is {type(entry).__name__}, an object is needed")
        return
    for key, kind, word in (
        ("annotation", str, "text"),
        ("root", str, "text"),
        ("data_augment", bool, "true or false"),
    ):
        if key in entry and entry[key] is not None and not isinstance(entry[key], kind):
            yield Problem("PD705", f"`{key}` is {entry[key]!r}, {word} is needed")
    if not entry.get("annotation"):
        yield Problem("PD704", "`annotation` is missing")
    if "repeat_time" not in entry:
        yield Problem("PD709", "`repeat_time` is missing")
    elif _factor(entry["repeat_time"]) is None:
        yield Problem(
            "PD705",
            f"`repeat_time` is {_written(entry['repeat_time'])}, a number above 0 and up to {MOST_COPIES:,} is needed",
        )
    for key in ("length", "max_dynamic_patch"):
        value = entry.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            yield Problem("PD705", f"`{key}` is {value!r}, a whole number is needed")
    for key in entry:
        if key not in KEYS and key not in LICENCE:
            yield Problem("PD708", f"`{key}` is not a key of a source")


def _written(value: Any) -> str:
    """A value as it stands in the file: 2 is a number, "2" is none."""
    return str(value) if isinstance(value, Decimal) else msgspec.json.encode(value).decode()


def _factor(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        return None
    try:
        factor = Decimal(str(value))
    except InvalidOperation:
        return None
    return factor if factor.is_finite() and 0 < factor <= MOST_COPIES else None


def write_meta(path: Path, mixture: Mixture) -> None:
    """Write a mixture as a strict meta.json; paths are written relative to the file where they lie beside it."""
    path = Path(path)
    document: dict[str, dict[str, Any]] = {}
    for source in mixture.sources:
        if source.name in document:
            raise PrefdataError(
                f"{path}: two sources are named {source.name!r}; a meta.json holds each name once, "
                "so give them other names."
            )
        entry: dict[str, Any] = {
            "root": relative(source.root if source.root is not None else source.annotation.parent, path),
            "annotation": relative(source.annotation, path),
            "data_augment": source.data_augment,
            "repeat_time": number(source.repeat_time),
        }
        if source.max_dynamic_patch is not None:
            entry["max_dynamic_patch"] = source.max_dynamic_patch
        if source.length is not None:
            entry["length"] = source.length
        if source.licence is not None:
            entry["license"] = source.licence
        document[source.name] = entry
    write_json(path, document)


def number(value: Decimal) -> int | float:
    """A count or factor as JSON and YAML hold it."""
    return int(value) if value == value.to_integral_value() else float(value)
