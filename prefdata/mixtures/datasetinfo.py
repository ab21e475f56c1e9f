"""LLaMA-Factory's `dataset_info.json`: name -> {file_name, num_samples, formatting, ranking, columns, tags, ...}.

Entries that live on a hub are told and left out: nothing is fetched here. What only LLaMA-Factory knows (columns,
tags, split, ...) is kept with the source and written back. Partial `columns` lose LLaMA-Factory's defaults, so they are
always written in full.
"""

from decimal import Decimal
from pathlib import Path
from typing import Any

from prefdata.errors import PrefdataError
from prefdata.mixtures.model import Mixture, Source
from prefdata.mixtures.paths import find

REMOTE = ("hf_hub_url", "ms_hub_url", "om_hub_url", "script_url", "cloud_file_name")
_OURS = frozenset({"file_name", "num_samples"})
_COLUMNS: dict[str, dict[str, Any]] = {
    "mmpr": {
        "formatting": "alpaca", "ranking": True,
        "columns": {"prompt": "question", "chosen": "chosen", "rejected": "rejected", "images": "image"},
    },
    "lf-alpaca": {
        "formatting": "alpaca", "ranking": True,
        "columns": {
            "prompt": "instruction", "query": "input", "history": "history", "system": "system",
            "chosen": "chosen", "rejected": "rejected", "images": "images",
        },
    },
    "lf-sharegpt": {
        "formatting": "sharegpt", "ranking": True,
        "columns": {
            "messages": "conversations", "chosen": "chosen", "rejected": "rejected", "system": "system",
            "tools": "tools", "images": "images", "videos": "videos", "audios": "audios",
        },
    },
    "sharegpt": {
        "formatting": "sharegpt",
        "columns": {"messages": "conversations", "system": "system", "tools": "tools", "images": "images"},
    },
}  # fmt: skip
_TAGS = {
    "role_tag": "from", "content_tag": "value", "user_tag": "human", "assistant_tag": "gpt",
    "observation_tag": "observation", "function_tag": "function_call", "system_tag": "system",
}  # fmt: skip


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


def info_entry(source: Source, file: str, want: int | None) -> tuple[dict[str, Any], str | None]:
    """(entry, what LLaMA-Factory will not understand) of one source."""
    entry: dict[str, Any] = {"file_name": file}
    lost = None
    if source.extra:
        entry |= source.extra
    elif source.format in _COLUMNS:
        entry |= _COLUMNS[source.format]
        if entry["formatting"] == "sharegpt":
            entry["tags"] = _TAGS
    else:
        lost = f"LLaMA-Factory does not read rows of {source.format}; `prefdata convert --to lf-sharegpt` them first"
    if want is not None:
        entry["num_samples"] = want
    return entry, lost
