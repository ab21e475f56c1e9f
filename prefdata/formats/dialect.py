"""Placeholder dialects: magic strings in text <-> media parts of a message.

A dialect that marks images with `<image>` cannot say *which* image, so the k-th marker of a row is its k-th image.
Markers beyond the number of images stay text: a reader must not invent an image, and the rules report them.
"""

import functools
import re
from collections.abc import Iterable

import msgspec

from prefdata.records import (
    Media,
    MediaKind,
    MediaRef,
    Message,
    Part,
    Text,
    merge_text,
    place_media,
    unplaced,
)

# XComposer writes "Image 1 <ImageHere>; " for several images; the code looks only at the marker. All three spellings
# that occur in its files are read, the documented one is written.
_IXC_LABELLED = re.compile(r"Image ?(\d+)\s?:? ?<ImageHere>; ?|<ImageHere>")
IMAGE = "<image>"
_NUMBERED = re.compile(r"<image(\d+)>")
IXC = "<ImageHere>"
MARKERS: dict[MediaKind, str] = {"image": "<image>", "video": "<video>", "audio": "<audio>"}


class Splitter:
    """Splits the texts of one row, in order; `found` counts all markers, placed or surplus."""

    def __init__(
        self, media: Iterable[Media], markers: dict[MediaKind, str], skip: dict[MediaKind, int] | None = None
    ) -> None:
        # How many media of a kind have their place before the first marker.
        self._skip = skip or {}
        self._free: dict[MediaKind, list[int]] = {kind: [] for kind in markers}
        self.found: dict[MediaKind, int] = dict.fromkeys(markers, 0)
        for index, item in enumerate(media):
            if item.kind in self._free:
                self._free[item.kind].append(index)
        self._kind_of = {marker: kind for kind, marker in markers.items()}
        self._labelled = markers.get("image") == IXC and len(self._free["image"]) > 1
        self._pattern = _IXC_LABELLED if self._labelled else _any_of(tuple(markers.values()))

    def split(self, text: str) -> tuple[Part, ...]:
        """Text and media parts in reading order."""
        parts: list[Part] = []
        end = 0
        for match in self._pattern.finditer(text):
            kind = "image" if self._labelled else self._kind_of[match[0]]
            number = self.found[kind] + self._skip.get(kind, 0)
            self.found[kind] += 1
            if number >= len(self._free[kind]):
                continue
            start, stop = match.span()
            if self._labelled and match[1] is not None and int(match[1][:6]) != number + 1:
                # A label with another number is text of the question; only the marker itself is the place.
                start = match.start() + match[0].index(IXC)
                stop = start + len(IXC)
            parts += [Text(text[end:start]), MediaRef(self._free[kind][number])]
            end = stop
        parts.append(Text(text[end:]))
        return tuple(part for part in parts if not isinstance(part, Text) or part.text)


@functools.cache
def _any_of(markers: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(re.escape, markers)))


def numbered(text: str, count: int) -> tuple[Part, ...] | None:
    """Parts of a text that names its images (`<image1>`), as far as there are so many; None: it does not."""
    found = list(_NUMBERED.finditer(text))
    if IMAGE in text or not found or any(not 1 <= int(match[1][:6]) <= count for match in found):
        return None
    parts: list[Part] = []
    end = 0
    for match in found:
        parts += [Text(text[end : match.start()]), MediaRef(int(match[1]) - 1)]
        end = match.end()
    parts.append(Text(text[end:]))
    return merge_text(tuple(parts))


def in_reading_order(
    messages: tuple[Message, ...], media: tuple[Media, ...], *, leave_single: bool
) -> tuple[tuple[Message, ...], tuple[Media, ...]]:
    """Messages and media such that the k-th media part refers to media k, as marker dialects need it.

    With `leave_single`, one image that no part refers to stays without a place: readers put it in front themselves.
    """
    if leave_single and len(media) == 1 and unplaced(messages, media):
        return messages, media
    messages = place_media(messages, media)
    order = [index for turn in messages for index in turn.media_indexes]
    if order == list(range(len(media))):
        return messages, media
    count = 0
    turns = []
    for turn in messages:
        parts: list[Part] = []
        for part in turn.content:
            if isinstance(part, MediaRef):
                part = MediaRef(count)
                count += 1
            parts.append(part)
        turns.append(msgspec.structs.replace(turn, content=tuple(parts)))
    return tuple(turns), tuple(media[index] for index in order)


def join(turn: Message, media: tuple[Media, ...], markers: dict[MediaKind, str]) -> str:
    """The text of a turn with a marker at the place of each media part."""
    labelled = markers.get("image") == IXC and len(media) > 1
    pieces = []
    for part in turn.content:
        if isinstance(part, Text):
            pieces.append(part.text)
        elif labelled:
            pieces.append(f"Image {part.index + 1} {IXC}; ")
        else:
            pieces.append(markers[media[part.index].kind])
    return "".join(pieces)
