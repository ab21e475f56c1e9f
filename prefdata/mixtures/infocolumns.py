"""What LLaMA-Factory has to be told of a file in `dataset_info.json`: which columns it has, how its turns are called.

LLaMA-Factory asks every row for every column that is named, and stops with a KeyError at one that no row has; one that
some rows have is filled up by `datasets`. So all rows are looked at, and what they have is written, nothing else. What
it would skip or stop at in silence (rows of another kind, a second name for a role, images without a place) is told.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from prefdata.containers import probe
from prefdata.readers import plain_rows

_INSTEAD = "`prefdata convert --to lf-sharegpt` them first"
_SUFFIXES = (".json", ".jsonl", ".parquet")
_MEDIA = {"images": "images", "videos": "videos", "audios": "audios"}
_CHAT = {"messages": "conversations", "system": "system", "tools": "tools"}
# By format: LLaMA-Factory's name of a column -> ours.
_COLUMNS = {
    "mmpr": {"prompt": "question", "chosen": "chosen", "rejected": "rejected", "images": "image"},
    "lf-alpaca": {
        "prompt": "instruction", "query": "input", "response": "output", "history": "history", "system": "system",
        "tools": "tools", "chosen": "chosen", "rejected": "rejected", "kto_tag": "label", **_MEDIA,
    },
    "lf-sharegpt": {**_CHAT, "chosen": "chosen", "rejected": "rejected", "kto_tag": "label", **_MEDIA},
    "sharegpt": _CHAT,
    "llava": {**_CHAT, "images": "image", "videos": "video"},
    "internvl-sft": {**_CHAT, "images": "image", "videos": "video"},
}  # fmt: skip
# Tags, and the names that our readers take for each, the one that LLaMA-Factory expects first.
_ROLES = {
    "user_tag": ("human", "user"),
    "assistant_tag": ("gpt", "assistant", "chatgpt", "bing", "bard"),
    "observation_tag": ("observation", "tool"),
    "function_tag": ("function_call",),
    "system_tag": ("system",),
}


class _Seen(msgspec.Struct):
    """What the rows of one file have."""

    keys: set[str] = msgspec.field(default_factory=set)
    roles: set[str] = msgspec.field(default_factory=set)
    kinds: dict[str, int] = msgspec.field(default_factory=dict)
    messages: str = "conversations"
    said: tuple[str, str] = ("from", "value")
    unplaced: int = 0
    media_types: set[type] = msgspec.field(default_factory=set)


def describe(path: Path, format: str | None) -> tuple[dict[str, Any], list[str]]:
    """(formatting, ranking, columns and tags of a file, what LLaMA-Factory will not read of it)."""
    if format not in _COLUMNS:
        return {}, [f"rows of {format}, which LLaMA-Factory does not read; {_INSTEAD}"]
    wanted = _COLUMNS[format]
    seen = _look(path, wanted)
    if chat := "messages" in wanted:
        wanted = wanted | {"messages": seen.messages}
        if seen.messages not in seen.keys:
            return {}, [f"rows without `conversations` or `messages`; {_INSTEAD}"]
    columns = {name: key for name, key in wanted.items() if key in seen.keys}
    kind = max(seen.kinds, key=lambda name: seen.kinds[name], default="conversation")
    if kind != "pair":
        columns = {name: key for name, key in columns.items() if name not in ("chosen", "rejected")}
    if kind != "labelled answer":
        columns.pop("kto_tag", None)
    entry: dict[str, Any] = {"formatting": "sharegpt" if chat else "alpaca"}
    if kind == "pair":
        entry["ranking"] = True
    entry["columns"] = columns
    lost = list(_problems(path, seen, kind))
    if chat:
        entry["tags"] = {"role_tag": seen.said[0], "content_tag": seen.said[1]}
        for tag, names in _ROLES.items():
            used = [name for name in names if name in seen.roles]
            entry["tags"][tag] = used[0] if used else names[0]
            if len(used) > 1:
                lost.append(
                    f"turns of {' and '.join(used)} in one file, of which it reads the first; {_INSTEAD}"
                )
    return entry, lost


def _look(path: Path, columns: dict[str, str]) -> _Seen:
    seen = _Seen()
    pictures = columns.get("images", "")
    for _, row in plain_rows(path, probe(path).container):
        seen.keys.update(row)
        kind = "conversation"
        if row.get("chosen") is not None and row.get("rejected") is not None:
            kind = "pair"
        elif isinstance(row.get("label"), bool):
            kind = "labelled answer"
        seen.kinds[kind] = seen.kinds.get(kind, 0) + 1
        if row.get("messages") is not None and row.get("conversations") is None:
            seen.messages = "messages"
        for turn in _turns(row, seen.messages):
            if "role" in turn:
                seen.said = ("role", "content")
            seen.roles.add(str(turn.get(seen.said[0])))
        images = row.get(pictures)
        if images:
            seen.media_types.add(list if isinstance(images, list) else type(images))
            # A tag anywhere in the row will do: where tags are too few, `prefdata validate` says so.
            seen.unplaced += not _marked(row)
    return seen


def _marked(value: Any) -> bool:
    """Whether any text in a value has the tag of an image."""
    if isinstance(value, str):
        return "<image>" in value
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return any(map(_marked, items))


def _turns(row: dict[str, Any], key: str) -> Iterator[dict[str, Any]]:
    turns = row.get(key)
    for turn in [*(turns if isinstance(turns, list) else []), row.get("chosen"), row.get("rejected")]:
        if isinstance(turn, dict):
            yield turn


def _problems(path: Path, seen: _Seen, kind: str) -> Iterator[str]:
    if path.suffix not in _SUFFIXES:
        yield f"files named *{path.suffix}; it loads {', '.join(_SUFFIXES)}"
    others = {name: count for name, count in seen.kinds.items() if name != kind}
    if others:
        rest = " and ".join(f"{count} {name}{'s' * (count > 1)}" for name, count in others.items())
        yield f"{rest} among {kind}s: it trains on one kind per file and drops the others"
    if seen.unplaced:
        rows = f"{seen.unplaced} row{'s' * (seen.unplaced > 1)}"
        yield f"{rows} with images and no <image>, at which it stops; {_INSTEAD}"
    if len(seen.media_types) > 1:
        yield f"an image column of paths and of lists, which its `datasets` does not load; {_INSTEAD}"
