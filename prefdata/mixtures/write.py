"""Writing a mixture in each of the file formats, and telling what the format cannot say.

Counts become factors, and factors counts, so that an epoch keeps exactly its rows; that needs the sources' sizes.
"""

import os
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from prefdata.choices import Form
from prefdata.errors import PrefdataError
from prefdata.jsonl import write_json, write_text
from prefdata.mixtures.counts import factor_for, share_of
from prefdata.mixtures.datasetinfo import info_entry
from prefdata.mixtures.meta import number, write_meta
from prefdata.mixtures.model import Mixture, Source
from prefdata.mixtures.paths import relative


def write_mixture(path: Path, mixture: Mixture, target: Form, rows: Sequence[int]) -> list[str]:
    """Write the file; returns one sentence for everything it cannot hold. Raises PrefdataError."""
    lost: list[str] = []
    if target == "meta":
        _write_meta(path, mixture, rows)
    elif target == "data.txt":
        write_text(path, "".join(_data_txt(path, *pair) for pair in zip(mixture.sources, rows, strict=True)))
    elif target == "swift":
        lines = [
            f"{relative(source.annotation, path)}#{share_of(source, have).want}\n"
            for source, have in zip(mixture.sources, rows, strict=True)
        ]
        write_text(path, "".join(lines))
    elif target == "dataset-info":
        lost += _write_info(path, mixture, rows)
    else:
        document = _xtuner(path, mixture, rows) if target == "xtuner" else _own(path, mixture)
        write_text(path, _yaml(document))
    for source in mixture.sources:
        lost += [f"{source.name}: {what}" for what in _unsaid(source, target)]
    return lost


def _unsaid(source: Source, target: Form) -> list[str]:
    """What the target has no place for."""
    if target in ("prefdata", "meta"):
        return [f"`{', '.join(source.extra)}`"] if source.extra else []
    lost = []
    # Without a root, images are looked for beside the file. XComposer fails on a third column with the root.
    if source.root is not None and target != "xtuner" and not _beside(source.root, source.annotation):
        lost.append(f"the image root {source.root}")
    if source.max_dynamic_patch is not None:
        lost.append(f"max_dynamic_patch {source.max_dynamic_patch}")
    if source.data_augment:
        lost.append("data_augment")
    if source.name != source.annotation.stem and target != "dataset-info":
        lost.append("its name")
    return lost


def _beside(root: Path, annotation: Path) -> bool:
    return os.path.abspath(root) == os.path.abspath(annotation.parent)


def _factor(source: Source, have: int) -> Decimal:
    return source.repeat_time if source.count is None else factor_for(share_of(source, have).want, have)


def _write_meta(path: Path, mixture: Mixture, rows: Sequence[int]) -> None:
    sources = tuple(
        msgspec.structs.replace(source, repeat_time=_factor(source, have), length=have)
        for source, have in zip(mixture.sources, rows, strict=True)
    )
    write_meta(path, Mixture(sources))


def _data_txt(path: Path, source: Source, have: int) -> str:
    name = relative(source.annotation, path)
    if any(mark.isspace() for mark in name):
        raise PrefdataError(
            f"{name}: a path with spaces cannot stand in a data.txt that XComposer reads; rename it."
        )
    return f"{name} {_plain(Decimal(share_of(source, have).want) / 1000)}\n"


def _write_info(path: Path, mixture: Mixture, rows: Sequence[int]) -> list[str]:
    document, lost = {}, []
    for source, have in zip(mixture.sources, rows, strict=True):
        if source.name in document:
            raise PrefdataError(
                f"{path}: two sources are named {source.name!r}; a dataset_info.json holds a name once, "
                "so give them other names."
            )
        want = share_of(source, have).want
        entry, missing = info_entry(source, relative(source.annotation, path), want if want != have else None)
        document[source.name] = entry
        lost += [f"{source.name}: {what}" for what in missing]
    write_json(path, document)
    return lost


def _xtuner(path: Path, mixture: Mixture, rows: Sequence[int]) -> dict[str, Any]:
    return {
        "data_paths": [relative(source.annotation, path) for source in mixture.sources],
        "image_folders": [
            relative(source.root if source.root is not None else source.annotation.parent, path)
            for source in mixture.sources
        ],
        "repeat_times": [
            number(_factor(source, have)) for source, have in zip(mixture.sources, rows, strict=True)
        ],
    }


def _own(path: Path, mixture: Mixture) -> dict[str, Any]:
    entries = []
    for source in mixture.sources:
        entry: dict[str, Any] = {"name": source.name, "path": relative(source.annotation, path)}
        if source.root is not None:
            entry["root"] = relative(source.root, path)
        if source.count is not None:
            entry["count"] = number(source.count)
        else:
            entry["factor"] = number(source.repeat_time)
        if source.length is not None:
            entry["length"] = source.length
        if source.max_dynamic_patch is not None:
            entry["max_dynamic_patch"] = source.max_dynamic_patch
        if source.data_augment:
            entry["data_augment"] = True
        if source.format is not None:
            entry["format"] = source.format
        entries.append(entry)
    return {"sources": entries}


def _yaml(document: Any) -> str:
    import yaml

    text: str = yaml.safe_dump(document, sort_keys=False, allow_unicode=True)
    return text


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
