"""How the turns and media of a `swift` row are found: its aliases, its tags that may be missing, its inline images."""

import re
from typing import Any

import msgspec

from prefdata.formats.base import Found, Turn
from prefdata.formats.calls import parse_calls, unread_in_text
from prefdata.formats.dialect import MARKERS, Splitter
from prefdata.formats.fields import media_of, plain_turn
from prefdata.formats.holding import of_turn
from prefdata.formats.lf_sharegpt import KEYS, UNUSED_SYSTEM
from prefdata.formats.messages import ROLES, Messages
from prefdata.records import Media, MediaKind, Role

SYSTEM_KEYS = ("system", "system_prompt")
INLINE = re.compile(r"<img>(.+?)</img>")
SWIFT_ROLES: dict[str, Role] = {**ROLES, "tool_response": "tool", "tool_call": "assistant"}


def media_lists(row: dict[str, Any], prefix: str = "") -> list[Found]:
    """Media of all kinds under the plural keys or their singular aliases."""
    found: list[Found] = []
    for kind, key in KEYS.items():
        found += media_of(row, prefix + key, kind) or media_of(row, prefix + key[:-1], kind)
    return found


def turns_of_row(
    row: dict[str, Any], key: str, media: list[Found]
) -> tuple[list[Turn], dict[MediaKind, int] | None]:
    """The turns under a key (`messages` also as query, response and history), and how many tags they hold.

    No count is given where the tags are fewer than the media: ms-swift then adds what is missing.
    """
    items = row.get(key)
    if items is None and key == "messages":
        items = _rounds(row)
    items = items if isinstance(items, list) else []
    if not media:
        items = [_with_tags(item, key, index, media) for index, item in enumerate(items)]
    texts = [
        item["content"]
        for item in items
        if isinstance(item, dict) and item.get("role") == "user" and isinstance(item.get("content"), str)
    ]
    tags: dict[MediaKind, int] = {
        kind: sum(text.count(mark) for text in texts) for kind, mark in MARKERS.items()
    }
    listed = {kind: sum(1 for found in media if found.media.kind == kind) for kind in MARKERS}
    missing = {kind: max(0, listed[kind] - tags[kind]) for kind in MARKERS}
    splitter = Splitter([found.media for found in media], MARKERS, skip=missing)
    turns = _merged(Messages(media, splitter, SWIFT_ROLES).turns(items, key))
    # ms-swift puts a system text in front of `messages` that have none, and never in front of `rejected_messages`.
    if key == "messages" and turns and (system := _system(row)):
        if turns[0].role != "system":
            turns = [*system, *turns]
        else:
            turns[0] = msgspec.structs.replace(turns[0], unread=(*turns[0].unread, UNUSED_SYSTEM))
    return turns, None if any(missing.values()) else splitter.found


def _with_tags(item: Any, key: str, index: int, media: list[Found]) -> Any:
    """The turn with `<img>URL</img>` turned into tags and media."""
    content = item.get("content") if isinstance(item, dict) and item.get("role") == "user" else None
    if not isinstance(content, str) or not INLINE.search(content):
        return item
    media += [Found(Media(uri=uri), f"{key}[{index}].content") for uri in INLINE.findall(content)]
    return {**item, "content": INLINE.sub(MARKERS["image"], content)}


def _system(row: dict[str, Any]) -> list[Turn]:
    return next((found for key in SYSTEM_KEYS if (found := plain_turn(row, key, "system"))), [])


def _rounds(row: dict[str, Any]) -> list[dict[str, str]]:
    items = []
    history = row.get("history")
    for pair in history if isinstance(history, list) else []:
        if isinstance(pair, list):
            items += [{"role": role, "content": text} for role, text in zip(ROUND, pair, strict=False)]
    for role, name in zip(ROUND, ("query", "response"), strict=True):
        text = row.get(name)
        if isinstance(text, str):
            items.append({"role": role, "content": text})
    return items


ROUND = ("user", "assistant")


def _merged(turns: list[Turn]) -> list[Turn]:
    """Calls as part of the assistant's turn they belong to."""
    merged: list[Turn] = []
    for turn in turns:
        calls = parse_calls(turn.text) if turn.said == "tool_call" else None
        if not calls:
            merged.append(turn)
            continue
        unread = (*turn.unread, *unread_in_text(turn.text))
        if merged and merged[-1].role == "assistant":
            before = merged.pop()
            beside = (of_turn(key) for key, value in turn.extra.items() if before.extra.get(key) != value)
            merged.append(
                msgspec.structs.replace(
                    before, calls=before.calls + calls, unread=(*before.unread, *unread, *beside)
                )
            )
        else:
            merged.append(msgspec.structs.replace(turn, parts=(), calls=calls, unread=unread))
    return merged
