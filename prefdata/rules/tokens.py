"""PD603 and PD604: rows that a trainer with a limit of tokens would cut, or cut so far that nothing is left to learn.

Counted with the model's own tokenizer and InternVL's tiles, on request only: it costs far more than all other rules.
What a chat template puts around a turn is taken as five tokens, which is ChatML's, so a row at the very limit may be
judged wrongly by a few tokens.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from prefdata import images
from prefdata.errors import PrefdataError
from prefdata.findings import Hit
from prefdata.formats.base import Turn, View
from prefdata.records import Media
from prefdata.tiling import TOKENS_PER_TILE, internvl_tiles

_AROUND_A_TURN = 5


class TokenLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Rows may have so many tokens of a tokenizer, with images of so many tiles at most."""

    tokenizer: str
    limit: int
    tiles: int = 12


def token_check(limit: TokenLimit | None, root: Path | None, base: Path) -> "TokenCheck | None":
    """The rule for a limit; the tokenizer is loaded only where one was given."""
    return TokenCheck(limit, root, base) if limit is not None else None


class TokenCheck:
    """Counts tokens of rows against a limit."""

    def __init__(self, limit: TokenLimit, root: Path | None, base: Path) -> None:
        from prefdata.stats.tokens import counter

        self._count = counter(limit.tokenizer)
        self._limit, self._most = limit.limit, limit.tiles
        self._root, self._base = root, base
        self._known: dict[str, int] = {}

    def check(self, view: View) -> Iterator[Hit]:
        """Findings of one row."""
        before, sides = _parts(view)
        if self._surely_fits(view):
            return
        prompt = sum(map(self._turn, before))
        prompt += sum(self._image(found.media) for found in view.media if found.media.kind == "image")
        if prompt >= self._limit:
            yield Hit("PD604", "", f"the prompt alone has {prompt} tokens, the limit is {self._limit}")
            return
        for turns in sides:
            total = prompt + sum(map(self._turn, turns))
            if turns and total > self._limit:
                yield Hit("PD603", turns[-1].field, f"{total} tokens, the limit is {self._limit}")

    def _surely_fits(self, view: View) -> bool:
        """A token is at least one byte of text, and an image has at most so many tiles."""
        turns = [*view.prompt, *view.chosen, *view.rejected]
        most = sum(len(turn.text.encode("utf-8", "replace")) + _AROUND_A_TURN for turn in turns)
        return most + len(view.media) * TOKENS_PER_TILE * (self._most + 1) <= self._limit

    def _turn(self, turn: Turn) -> int:
        return self._count(turn.text) + _AROUND_A_TURN

    def _image(self, media: Media) -> int:
        if media.data is not None:
            return self._tokens(media.data)
        uri = media.uri or ""
        if uri not in self._known:
            try:
                self._known[uri] = self._tokens(images.resolve(uri, self._root, self._base))
            except PrefdataError:
                self._known[uri] = TOKENS_PER_TILE  # not there: other rules say so
        return self._known[uri]

    def _tokens(self, source: Path | bytes) -> int:
        from prefdata.stats.pictures import size_of

        size = size_of(source)
        return TOKENS_PER_TILE * (internvl_tiles(*size, self._most) if size and all(size) else 1)


def _parts(view: View) -> tuple[list[Turn], list[list[Turn]]]:
    """The turns before anything is learned, and each side that is."""
    if view.kind != "conversation":
        return view.prompt, [view.chosen, view.rejected]
    first = next((i for i, turn in enumerate(view.prompt) if turn.role == "assistant"), len(view.prompt))
    return view.prompt[:first], [view.prompt[first:]]
