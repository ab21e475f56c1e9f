"""PD4xx: image references and the files behind them, each distinct reference looked at once."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import msgspec

from prefdata import images
from prefdata.errors import PrefdataError
from prefdata.findings import Hit, detail
from prefdata.formats.base import View

# From so many images on, the absence of all is told once.
_MANY = 10
# References and folders looked at for a better root.
_TRIED = 20
_ABSOLUTE = re.compile(r"(?:file://)?/|[A-Za-z]:[\\/]|\\\\")
_CONTROL = re.compile(r"[\x00-\x1f]")


class References(msgspec.Struct):
    """The references to images looked at in a file, and those of them behind which there is nothing."""

    count: int = 0
    missing: int = 0
    first_missing: str = ""

    def miss(self, where: str) -> None:
        """Count a missing image."""
        self.missing += 1
        self.first_missing = self.first_missing or where

    def add(self, other: "References") -> None:
        """Add those of what follows."""
        self.count += other.count
        self.missing += other.missing
        self.first_missing = self.first_missing or other.first_missing


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
            yield "PD415", f"{_where(uri)}: {detail(uri)}"
            return
        if _ABSOLUTE.match(uri):
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

    def join_missing(
        self, counts: dict[str, int], hits: list[tuple[int, Hit]], references: References
    ) -> None:
        """One finding in place of all where none of many images is there: the root is wrong, not the rows."""
        if references.missing < _MANY or references.missing != references.count:
            return
        found = self._better_root()
        where = f"; some are there under {found}" if found is not None else ""
        hits[:] = [(line, hit) for line, hit in hits if hit.code != "PD401"]
        what = f"all {references.missing:,} are missing, the first at {references.first_missing}{where}"
        hits.insert(0, (1, Hit("PD418", "image", what)))
        counts.pop("PD401", None)
        counts["PD418"] = 1

    def _better_root(self) -> Path | None:
        """A folder above, below or beside the one looked in where some of the references are, if none was there."""
        looked_in = self._root if self._root is not None else self._base
        near = [self._base, Path(), looked_in.parent]
        for above in (looked_in, looked_in.parent):
            with suppress(OSError):
                near += sorted(folder for folder in above.iterdir() if folder.is_dir())[:_TRIED]
        for uri in list(self._known)[:_TRIED]:
            if not uri.startswith("/") and ".." not in uri and not images.is_url(uri):
                for folder in near:
                    if folder != looked_in and os.path.isfile(folder / uri):
                        return folder
        return None

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


def _where(uri: str) -> str:
    if uri.startswith("data:"):
        return "it is a data URI, not a file"
    if uri.startswith(("http://", "https://", "hf://")):
        return "it lies on the network"
    return "it lies in somebody's object store"


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
