"""PD3xx: placeholders and media, counted both ways, and markers where they do not belong."""

import re
from collections.abc import Iterator

from prefdata.findings import Hit
from prefdata.formats.base import Format, Turn, View

_ANY = re.compile(r"<image>|<ImageHere>|<IMG_CONTEXT>|<video>|<image\d+>|<__dj__image>")


def check(view: View, fmt: Format) -> Iterator[Hit]:
    """Counts per kind of media, then stray markers."""
    for kind, slots in (view.slots or {}).items():
        media = view.count(kind)
        if slots > media:
            yield Hit("PD301", _first(view), f"{slots} for {media} {kind}{'' if media == 1 else 's'}")
        elif slots < media and not (view.front and media == 1 and slots == 0):
            yield Hit("PD302", _first(view), f"{slots} for {media} {kind}{'' if media == 1 else 's'}")
    own = {fmt.marker} | {f"<{kind}>" for kind in fmt.holds.kinds if fmt.marker == "<image>"}
    for turn in view.prompt:
        if turn.role == "assistant":
            yield from _answer(turn)
        elif strange := next((found for found in _ANY.findall(turn.text) if found not in own), None):
            yield Hit("PD304", turn.field, strange)
    for turn in (*view.chosen, *view.rejected):
        yield from _answer(turn)


def _answer(turn: Turn) -> Iterator[Hit]:
    if match := _ANY.search(turn.text):
        yield Hit("PD303", turn.field, match[0])


def _first(view: View) -> str:
    """The place of the user's first turn."""
    return next((turn.field for turn in view.prompt if turn.role == "user"), "")
