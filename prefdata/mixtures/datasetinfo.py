"""LLaMA-Factory's `dataset_info.json`: name -> {file_name, num_samples, formatting, ranking, columns, tags, ...}.

Entries that live on a hub are told and left out: nothing is fetched here. What only LLaMA-Factory knows (columns,
tags, split, ...) is kept with the source and written back. Where nothing is kept, `infocolumns.py` looks at the rows;
partial `columns` lose LLaMA-Factory's defaults, so all that the rows have is named.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

from prefdata.errors import PrefdataError
from prefdata.mixtures.model import Mixture, Source
from prefdata.mixtures.paths import find

REMOTE = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")
_OURS = frozenset({"file_name", "num_samples"})


def looks_like_info(document: Any) -> bool:
    """Whether an object is LLaMA-Factory's registry of data sets."""
    return (
        isinstance(document, dict)
        and bool(document)
        and all(isinstance(entry, dict) for entry in document.values())
        and any(key in entry for entry in document.values() for key in ("file_name", *REMOTE))
    )


def read_info(path: Path, document: dict[str, Any], image_root: Path | None) -> Mixture:
    """The local entries as a mixture."""
    sources, notes = [], []
    for name, entry in document.items():
        file = entry.get("file_name")
        if not isinstance(file, str):
            where = next((key for key in REMOTE if key in entry), "no file_name")
            notes.append(f"{path}: {name!r} is not a local file ({where}) and is left out.")
            continue
        count = entry.get("num_samples")
        if count is not None and (not isinstance(count, int) or isinstance(count, bool) or count <= 0):
            raise PrefdataError(
                f"{path}: {name!r}: `num_samples` is {count!r}, a whole number above 0 is needed."
            )
        sources.append(
            Source(
                name=name, annotation=find(path, file), root=image_root,
                count=Decimal(count) if count is not None else None,
                as_written=str(count) if count is not None else None,
                extra={key: value for key, value in entry.items() if key not in _OURS},
            )
        )  # fmt: skip
    if not sources:
        raise PrefdataError(f"{path}: no entry with a local `file_name`; download the files and name them.")
    return Mixture(tuple(sources), "dataset-info", tuple(notes))


def info_entry(source: Source, file: str, want: int | None) -> tuple[dict[str, Any], list[str]]:
    """(entry, what LLaMA-Factory will not understand) of one source. Raises PrefdataError at an unreadable row."""
    from prefdata.mixtures.infocolumns import describe

    entry: dict[str, Any] = {"file_name": file}
    described, lost = (source.extra, []) if source.extra else describe(source.annotation, source.format)
    entry |= described
    if want is not None:
        entry["num_samples"] = want
    return entry, lost
