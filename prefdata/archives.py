"""Zip and tar archives given where data is needed: what they are, and whether unpacking them would be safe.

Rows in archives are not read: images lie beside rows, trainers need them unpacked, and a checked archive would say
nothing about what was unpacked from it. But people unpack what they download, so `prefdata validate` looks at the names
and links in it first. Nothing is ever extracted here, and a packed tar archive is unpacked in passing only until its
members add up to a bomb.

The decision to question: a link to a place inside is let through, but nothing that lies, or leads, behind another link.
Where links follow each other, the names alone no longer tell where one comes out (`a -> .` and `a/b -> ..`).
"""

import posixpath
import re
import stat
import zlib
from collections.abc import Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from prefdata.compressed import open_data
from prefdata.errors import PrefdataError
from prefdata.findings import Hit, detail

if TYPE_CHECKING:
    import zipfile

Kind = Literal["zip", "tar"]
UNPACK = "unpack it and name the files in it."
_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_DRIVE = re.compile(r"[A-Za-z]:")
# Files of one byte repeated are packed to a thousandth, images and text never; below this size nobody is hurt.
_BOMB_RATIO, _BOMB_BYTES = 1000, 1 << 30
# No system follows a longer path.
_LONGEST_LINK = 4096
_MEGABYTE = 1_000_000


def kind_of_head(head: bytes) -> Kind | None:
    """What archive begins with these bytes, of which 262 are enough; None for anything else."""
    if head.startswith(_ZIP):
        return "zip"
    return "tar" if head[257:262] == b"ustar" else None


def archive_kind(path: Path) -> Kind | None:
    """`zip` or `tar` (packed or not); None for any other file."""
    with open(path, "rb") as stream:
        kind = kind_of_head(stream.read(512))
    if kind is not None:
        return kind
    try:
        with open_data(path) as stream:
            # A packed zip archive is not looked into.
            return "tar" if kind_of_head(stream.read(512)) == "tar" else None
    except (OSError, EOFError, zlib.error):
        return None  # damaged, which its reader tells


def check(path: Path, kind: Kind) -> tuple[int, list[Hit]]:
    """How many members of an archive were looked at, and what is wrong with them: all of them, or as many as make a
    bomb. Raises PrefdataError where it cannot be read."""
    import tarfile
    import zipfile

    found = _Found(path.stat().st_size)
    try:
        for member in _zip_members(path) if kind == "zip" else _tar_members(path):
            found.add(member)
            if found.is_bomb:
                break
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        EOFError,
        zlib.error,
        ValueError,
        NotImplementedError,
    ) as error:
        raise PrefdataError(
            f"{path}: an archive that cannot be read ({error}); if it is one of several parts, join them first."
        ) from error
    found.finish()
    return found.members, found.hits


class _Member(msgspec.Struct, frozen=True):
    """A member, and where it leads if it is a link (`hard`: a second name of another member)."""

    name: str
    size: int
    target: str | None = None
    hard: bool = False
    # A device, or a link whose target cannot be read.
    special: bool = False


class _Found:
    """What was found in the members so far. Of those without a finding only links are remembered."""

    def __init__(self, packed_size: int) -> None:
        self.members = self.size = 0
        self.hits: list[Hit] = []
        self._packed_size = packed_size
        # Place of each symbolic link -> where it leads.
        self._links: dict[str, str] = {}

    @property
    def is_bomb(self) -> bool:
        """Whether unpacking takes more room than anything honest."""
        return self.size > max(_BOMB_BYTES, _BOMB_RATIO * self._packed_size)

    def add(self, member: _Member) -> None:
        """Look at the next member."""
        self.members += 1
        self.size += member.size
        name, target = member.name, member.target
        if _leaves(name):
            self.hits.append(Hit("PD801", "", detail(name)))
        if link := _link_above(name, self._links):
            self.hits.append(Hit("PD802", "", f"{detail(name)} lies behind the link {detail(link)}"))
        if member.special:
            self.hits.append(Hit("PD802", "", f"{detail(name)} is a device, or a link that cannot be read"))
        elif target is not None and _leaves(target):
            self.hits.append(Hit("PD802", "", f"{detail(name)} leads to {detail(target)}"))
        elif target is not None and member.hard:
            # Nor may it be a second name of a link, which would start from another place then.
            self._leads_through(name, f"{target}/")
        if target is not None and not member.hard:
            self._links[_place(name)] = target

    def finish(self) -> None:
        """What only all members tell: links that lead through others, whichever comes first; and the size."""
        for name, target in self._links.items():
            if not _leaves(target):
                self._leads_through(name, target)
        if self.is_bomb:
            sizes = f"at least {self.size / 1e9:,.0f} GB from {self._packed_size / 1e6:,.1f} MB"
            self.hits.append(Hit("PD803", "", sizes))

    def _leads_through(self, name: str, target: str) -> None:
        if link := _link_above(target, self._links):
            self.hits.append(Hit("PD802", "", f"{detail(name)} leads through the link {detail(link)}"))


def _zip_members(path: Path) -> Iterator[_Member]:
    import zipfile

    with zipfile.ZipFile(path) as packed:
        for one in packed.infolist():
            if stat.S_ISLNK(one.external_attr >> 16):
                target = _zip_target(packed, one)
                yield _Member(one.filename, one.file_size, target, special=target is None)
            else:
                yield _Member(one.filename, one.file_size)


def _zip_target(packed: "zipfile.ZipFile", link: "zipfile.ZipInfo") -> str | None:
    """Where a link leads, which zip keeps as its content; None where that is no path."""
    import zipfile

    encrypted, plain = link.flag_bits & 1, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
    if encrypted or link.compress_type not in plain or link.file_size > _LONGEST_LINK:
        return None
    with packed.open(link) as stream:
        target = stream.read(_LONGEST_LINK).decode("utf-8", "replace")
    return _from(link.filename, target)


def _tar_members(path: Path) -> Iterator[_Member]:
    import tarfile

    # Not above: workers come by here when they start, and show no progress.
    from prefdata.progress import progress

    # As a stream: a packed archive is read once from front to back, and the size of a member is known before its data.
    with (
        open_data(path) as data,
        tarfile.open(fileobj=data, mode="r|") as packed,
        progress(f"look into {path.name}", unit="MB") as bar,
    ):
        while (one := packed.next()) is not None:
            target = _from(one.name, one.linkname) if one.issym() else one.linkname if one.islnk() else None
            # A member has a header, also where it is empty.
            yield _Member(one.name, tarfile.BLOCKSIZE + one.size, target, one.islnk(), one.isdev())
            bar.advance(packed.offset // _MEGABYTE - bar.done)
            # Else all of them are kept until the end.
            packed.members.clear()  # type: ignore[attr-defined]


def _from(link: str, target: str) -> str:
    """The place that a symbolic link leads to, seen from the top of the archive."""
    return posixpath.join(posixpath.dirname(link.rstrip("/")), target)


def _place(name: str) -> str:
    return posixpath.normpath(name.replace("\\", "/"))


def _link_above(path: str, links: Container[str]) -> str | None:
    """The first link that a path goes through; what it ends at does not count, unless a slash follows."""
    here = ""
    for part in path.replace("\\", "/").split("/"):
        if here in links:
            return here
        if part == "..":
            here = posixpath.dirname(here)
        elif part not in ("", "."):
            here = posixpath.join(here, part)
    return None


def _leaves(name: str) -> bool:
    """Whether a name lies outside the folder that an archive is unpacked in, for any of the usual programs."""
    name = name.replace("\\", "/")
    return (
        name.startswith("/")
        or _DRIVE.match(name) is not None
        or posixpath.normpath(name).split("/")[0] == ".."
    )


def told(path: Path, kind: Kind, members: int, hits: list[Hit]) -> str:
    """The sentence for who gave an archive instead of data."""
    how = "look at the findings before you unpack it" if hits else "no name or link in it leads elsewhere"
    count = "1 member" if members == 1 else f"{members:,} members"
    return f"{path}: a {kind} archive ({count} looked at, {how}); {UNPACK}"
