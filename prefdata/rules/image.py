"""PD4xx: image references and the files behind them, each distinct reference looked at once."""

import re
from collections.abc import Iterator
from pathlib import Path

from prefdata import images
from prefdata.errors import PrefdataError
from prefdata.findings import Hit, detail
from prefdata.formats.base import View

_CONTROL = re.compile(r"[\x00-\x1f]")


class ImageChecker:
    """Checks references relative to one root (or one data file's folder) and remembers the outcome."""

    def __init__(self, root: Path | None, base: Path, tier: images.Tier) -> None:
        self._root, self._base, self._tier = root, base, tier
        # With this off only the spelling of references matters.
        self.looks = tier != "none"
        self._known: dict[str, tuple[tuple[str, str], ...]] = {}

    def check(self, uri: str) -> tuple[tuple[str, str], ...]:
        """(code, detail) of everything wrong with a reference; empty for a sound image."""
        known = self._known.get(uri)
        if known is None:
            known = self._known[uri] = tuple(self._look(uri))
        return known

    def _look(self, uri: str) -> Iterator[tuple[str, str]]:
        if not uri or _CONTROL.search(uri) or len(uri) > 4096:
            if not uri.startswith("data:"):
                yield "PD416", detail(uri)
            return
        if images.is_url(uri):
            inline = uri.startswith("data:")
            where = "it is a data URI, not a file" if inline else "it lies on the network"
            yield "PD415", f"{where}: {detail(uri)}"
            return
        if uri.startswith("/"):
            yield "PD408", detail(uri)
        if self._tier == "none":
            return
        try:
            path = images.resolve(uri, self._root, self._base)
        except images.Escapes:
            yield "PD407", detail(uri)
            return
        except PrefdataError as error:
            yield "PD416", str(error)
            return
        for problem in images.check(path, self._tier):
            yield problem.code, problem.detail

    def check_bytes(self, data: bytes) -> tuple[tuple[str, str], ...]:
        """The same for an image inside the row."""
        return tuple((problem.code, problem.detail) for problem in images.check_bytes(data, self._tier))

    def exists(self, uri: str) -> bool:
        """Whether a video or audio file is there; its content is not looked at."""
        if images.is_url(uri) or self._tier == "none":
            return True
        try:
            return images.resolve(uri, self._root, self._base).is_file()
        except (PrefdataError, OSError, ValueError):
            return False


def check(view: View, checker: ImageChecker) -> Iterator[Hit]:
    """Findings of all media of a row."""
    for found in view.media:
        uri = found.media.uri
        if found.media.data is not None and found.media.kind == "image":
            for code, what in checker.check_bytes(found.media.data):
                yield Hit(code, found.field, what)
        if found.media.data is not None or uri is None:
            continue
        if found.media.kind == "image":
            for code, what in checker.check(uri):
                yield Hit(code, found.field, what)
        elif not checker.exists(uri):
            yield Hit("PD417", found.field, f"{found.media.kind}: {detail(uri)}")
    for field in view.blank_media:
        yield Hit("PD416", field, "''")
