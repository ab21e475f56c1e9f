"""Mixtures in YAML: XTuner's three lists, and prefdata's own form, which holds everything a mixture can say.

data_paths: [a.jsonl, b.jsonl]          sources:
image_folders: [img, null]                - {name: a, path: a.jsonl, root: img, factor: 0.5}
repeat_times: [1, 3.5]                    - {path: b.jsonl, count: 2000, max_dynamic_patch: 12}
"""

from collections.abc import Iterator, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from prefdata.errors import PrefdataError
from prefdata.mixtures.model import Mixture, Source
from prefdata.mixtures.paths import find

# What the keys of a source hold; the numbers are looked at by `positive`.
_OWN_KEYS: dict[str, tuple[type, str] | None] = {
    "name": (str, "a text"),
    "path": (str, "a text"),
    "root": (str, "a text"),
    "factor": None,
    "count": None,
    "length": (int, "a whole number above 0"),
    "max_dynamic_patch": (int, "a whole number above 0"),
    "data_augment": (bool, "true or false"),
    "format": (str, "a format that `prefdata formats` lists"),
}


def read_xtuner(path: Path, document: Mapping[str, Any], image_root: Path | None) -> Mixture:
    """XTuner's lists; scalars are broadcast, with a note, since XTuner itself asserts equal lengths."""
    paths = _list(document["data_paths"])
    folders, times = _list(document.get("image_folders")), _list(document.get("repeat_times", 1))
    notes = []
    for name, values in (("image_folders", folders), ("repeat_times", times)):
        if len(values) == 1 and len(paths) > 1:
            written = f"`{name}: {values[0]}`" if name in document else f"no `{name}`"
            notes.append(
                f"{path}: {written} stands for all {len(paths)} paths; XTuner asserts equal lengths."
            )
        elif len(values) != len(paths):
            raise PrefdataError(
                f"{path}: {len(paths)} data_paths but {len(values)} {name}; give one for each."
            )
    spread = [values * len(paths) if len(values) == 1 else values for values in (folders, times)]
    sources = tuple(
        Source(
            name=Path(str(file)).stem,
            annotation=find(path, str(file)),
            root=image_root or (find(path, str(folder)) if folder else None),
            repeat_time=positive(path, "repeat_times", factor),
            as_written=str(factor),
        )
        for file, folder, factor in zip(paths, *spread, strict=True)
    )
    refused = {"xtuner": f"{notes[0]} Write out every list."} if notes else {}
    return Mixture(sources, "xtuner", tuple(notes), refused)


def read_own(path: Path, document: Mapping[str, Any], image_root: Path | None) -> Mixture:
    """prefdata's own form."""
    sources = []
    for number, entry in enumerate(_list(document["sources"]), start=1):
        place = f"{path}: source {number}"
        if not isinstance(entry, Mapping) or not isinstance(entry.get("path"), str):
            raise PrefdataError(f"{place}: a mapping with `path` is needed.")
        for key, value in entry.items():
            _check(place, key, value)
        if "factor" in entry and "count" in entry:
            raise PrefdataError(f"{place}: `factor` and `count` exclude each other.")
        sources.append(
            Source(
                name=str(entry.get("name") or Path(entry["path"]).stem),
                annotation=find(path, entry["path"]),
                root=image_root or (find(path, entry["root"]) if entry.get("root") else None),
                repeat_time=positive(path, "factor", entry.get("factor", 1)),
                count=positive(path, "count", entry["count"]) if "count" in entry else None,
                length=entry.get("length"),
                max_dynamic_patch=entry.get("max_dynamic_patch"),
                data_augment=entry.get("data_augment") is True,
                format=entry.get("format"),
            )
        )
    return Mixture(tuple(sources), "prefdata")


def _check(place: str, key: Any, value: Any) -> None:
    """Raises PrefdataError for a key that is none, or a value that would be ignored."""
    from prefdata.formats import ids

    if key not in _OWN_KEYS:
        raise PrefdataError(f"{place}: unknown key `{key}`; known keys: {', '.join(sorted(_OWN_KEYS))}.")
    kind = _OWN_KEYS[key]
    if kind is None or value is None:
        return
    good = isinstance(value, kind[0])
    if kind[0] is int and isinstance(value, int):
        good = value is not True and value > 0
    if not good or (key == "format" and value not in ids()):
        raise PrefdataError(f"{place}: `{key}` is {value!r}, {kind[1]} is needed.")


def repeated_keys(root: Any) -> Iterator[tuple[int, str]]:
    """(line, key) of every key that its mapping had before; YAML's own reader keeps the last one without a word."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if node is None or id(node) in seen or isinstance(node.value, str):
            continue
        seen.add(id(node))
        keys: set[str] = set()
        for part in node.value:
            if not isinstance(part, tuple):
                waiting.append(part)
                continue
            key, value = part
            if isinstance(key.value, str):
                if key.value in keys:
                    yield key.start_mark.line + 1, key.value
                keys.add(key.value)
            waiting += [key, value]


def positive(path: Path, key: str, value: Any) -> Decimal:
    """A number above 0 as it was written: YAML's floats print shortest, so 2.01 stays 2.01."""
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        number = Decimal(0)
    if isinstance(value, bool) or not number.is_finite() or number <= 0:
        raise PrefdataError(f"{path}: `{key}` is {value!r}, a number above 0 is needed.")
    return number


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
