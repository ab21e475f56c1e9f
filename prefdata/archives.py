"""Zip and tar archives given where data is needed: what they are, and whether unpacking them would be safe.

Rows in archives are not read: images lie beside rows, trainers need them unpacked, and a checked archive would say
nothing about what was unpacked from it. But people unpack what they download, so `prefdata validate` looks at the names
in it first. Nothing is ever extracted here. The decision to question: a link to a place inside is let through.
"""

import posixpath
import re
import stat
import zlib
from collections.abc import Iterator
from pathlib import Path

from prefdata.compressed import open_data
from prefdata.errors import PrefdataError
from prefdata.findings import Hit, detail

_ZIP = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08")
_DRIVE = re.compile(r"[A-Za-z]:")
# Files of one byte repeated are packed to a thousandth, images and text never; below this size nobody is hurt.
_BOMB_RATIO, _BOMB_BYTES = 1000, 1 << 30


def kind_of(path: Path) -> str | None:
    """`zip` or `tar` (packed or not); None for any other file."""
    with open(path, "rb") as stream:
        if stream.read(4) in _ZIP:
            return "zip"
    try:
        with open_data(path) as stream:
            return "tar" if stream.read(512)[257:262] == b"ustar" else None
    except (OSError, EOFError, zlib.error):
        return None  # damaged, which its reader tells


def check(path: Path, kind: str) -> tuple[int, list[Hit]]:
    """How many members an archive has, and what is wrong with them. Raises PrefdataError where it cannot be read."""
    import tarfile
    import zipfile

    try:
        if kind == "zip":
            with zipfile.ZipFile(path) as packed:
                infos = packed.infolist()
            members: list[_Member] = [
                (one.filename, one.file_size, None, stat.S_ISLNK(one.external_attr >> 16)) for one in infos
            ]
        else:
            members = list(_tar_members(path))
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
    hits = [hit for member in members for hit in _member_hits(*member)]
    size, packed_size = sum(member[1] for member in members), path.stat().st_size
    if size > max(_BOMB_BYTES, _BOMB_RATIO * packed_size):
        hits.append(Hit("PD803", "", f"{size / 1e9:,.0f} GB from {packed_size / 1e6:,.1f} MB"))
    return len(members), hits


# Name, size, what it links to, and whether it is a link or device that cannot be judged by its target.
_Member = tuple[str, int, str | None, bool]


def _tar_members(path: Path) -> Iterator[_Member]:
    import tarfile

    # As a stream: a packed archive is read once from front to back.
    with open_data(path) as data, tarfile.open(fileobj=data, mode="r|") as packed:
        for one in packed:
            target = None
            if one.issym():
                target = posixpath.join(posixpath.dirname(one.name), one.linkname)
            elif one.islnk():
                target = one.linkname
            yield one.name, one.size, target, one.isdev()


def _member_hits(name: str, _size: int, target: str | None, special: bool) -> Iterator[Hit]:
    if _leaves(name):
        yield Hit("PD801", "", detail(name))
    if special:
        yield Hit("PD802", "", f"{detail(name)} is a link or a device")
    elif target is not None and _leaves(target):
        yield Hit("PD802", "", f"{detail(name)} leads to {detail(target)}")


def _leaves(name: str) -> bool:
    """Whether a name lies outside the folder that an archive is unpacked in, for any of the usual programs."""
    name = name.replace("\\", "/")
    return (
        name.startswith("/")
        or _DRIVE.match(name) is not None
        or posixpath.normpath(name).split("/")[0] == ".."
    )


def told(path: Path, kind: str, members: int, hits: list[Hit]) -> str:
    """The sentence for who gave an archive instead of data."""
    how = (
        "look at the findings before you unpack it"
        if hits
        else "nothing leaves the folder it is unpacked in"
    )
    count = "1 member" if members == 1 else f"{members:,} members"
    return f"{path}: a {kind} archive ({count}, {how}); unpack it and name the files in it."
