"""Type, size and completeness of an image file from a few bytes, without decoding it.

Called by `images.check` for the header tier. JPEG, PNG, GIF, WebP and BMP are read here; other types that Pillow knows
(TIFF, AVIF, JPEG 2000, ...) are recognised by their first bytes only, so their size is left to the decode tier.
"""

import struct
from collections.abc import Callable

import msgspec

# Pillow's own limit of plausible pictures; above it a file is treated as a decompression bomb.
MAX_PIXELS = 178_956_970
# A picture this elongated is scaled to nothing by the resizers of the vision towers.
MAX_ASPECT = 200
_MIN_SIDE = 2
_RESYNC = 65536


class Problem(msgspec.Struct, frozen=True):
    """A finding's code and what was seen."""

    code: str
    detail: str


Pread = Callable[[int, int], bytes]

# First bytes of types whose size is not read here.
_KNOWN: tuple[tuple[int, bytes], ...] = (
    (0, b"II*\0"),
    (0, b"MM\0*"),
    (0, b"II+\0"),
    (0, b"MM\0+"),
    (0, b"\0\0\1\0"),
    (0, b"8BPS"),
    (4, b"ftypavif"),
    (4, b"ftypavis"),
    (4, b"ftypmif1"),
    (4, b"ftypheic"),
    (0, b"\0\0\0\x0cjP  \r\n\x87\n"),
    (0, b"\xff\x4f\xff\x51"),
    (0, b"P1"),
    (0, b"P2"),
    (0, b"P3"),
    (0, b"P4"),
    (0, b"P5"),
    (0, b"P6"),
)


def check_header(head: bytes, tail: bytes, pread: Pread, size: int) -> tuple[Problem, ...]:
    """Problems of a file given its first and last bytes; `pread(offset, length)` reads more when needed."""
    try:
        if head.startswith(b"\xff\xd8\xff"):
            return _judge(_jpeg_size(head, pread, size), b"\xff\xd9" in tail or _jpeg_ends(pread, size))
        if head.startswith(b"\x89PNG\r\n\x1a\n"):
            return _judge(_png_size(head), tail.endswith(b"IEND\xaeB`\x82") or _png_ends(pread, size))
        if head.startswith((b"GIF87a", b"GIF89a")):
            return _judge(struct.unpack("<HH", head[6:10]), True)
        if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
            return _judge(_webp_size(head), struct.unpack("<I", head[4:8])[0] + 8 <= size)
        if head.startswith(b"BM") and len(head) >= 26:
            width, height = (
                struct.unpack("<ii", head[18:26]) if head[14] >= 40 else struct.unpack("<HH", head[18:22])
            )
            return _judge((width, abs(height)), True)
    except struct.error:
        return (Problem("PD404", f"the header ends after {size} bytes"),)
    if any(head[offset : offset + len(magic)] == magic for offset, magic in _KNOWN):
        return ()
    if head.startswith(b"version https://git-lfs"):
        return (Problem("PD403", "a git-LFS pointer, not the picture; run `git lfs pull`"),)
    return (Problem("PD403", f"starts with {head[:8]!r}"),)


def _judge(dimensions: tuple[int, ...] | None, complete: bool) -> tuple[Problem, ...]:
    problems = []
    if dimensions is None:
        problems.append(Problem("PD404", "no image size in the header"))
    else:
        width, height = dimensions
        if width <= 0 or height <= 0:
            return (Problem("PD405", f"claims a size of {width}x{height}"),)
        if width * height > MAX_PIXELS:
            return (Problem("PD406", f"claims {width}x{height} pixels"),)
        if max(width, height) > MAX_ASPECT * min(width, height):
            problems.append(Problem("PD413", f"{width}x{height}"))
        elif max(width, height) < _MIN_SIDE:
            problems.append(Problem("PD414", f"{width}x{height}"))
    if not complete and dimensions is not None:
        problems.append(Problem("PD404", "its end is missing"))
    return tuple(problems)


def _png_size(head: bytes) -> tuple[int, int] | None:
    if head[12:16] != b"IHDR":
        return None
    width, height = struct.unpack(">II", head[16:24])
    return width, height


def _png_ends(pread: Pread, size: int) -> bool:
    """An end chunk followed by rubbish is still complete: some cameras and archives pad files."""
    return b"IEND\xaeB`\x82" in pread(max(0, size - 65536), 65536)


def _jpeg_ends(pread: Pread, size: int) -> bool:
    return b"\xff\xd9" in pread(max(0, size - 65536), 65536)


def _jpeg_size(head: bytes, pread: Pread, size: int) -> tuple[int, int] | None:
    """Walk the segments up to the frame header; segments beyond `head` are read one by one."""
    offset = 2
    while offset + 9 < size:
        part = head[offset : offset + 9] if offset + 9 <= len(head) else pread(offset, 9)
        if len(part) < 9:
            return None
        if part[0] != 0xFF:
            # A segment of wrong length: decoders go on at the next marker.
            skipped = pread(offset, _RESYNC).find(b"\xff")
            if skipped < 0:
                return None
            offset += skipped
            continue
        marker = part[1]
        if marker == 0xFF:
            offset += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack(">HH", part[5:9])
            return width, height
        if marker == 0x01 or 0xD0 <= marker <= 0xD8:
            offset += 2
            continue
        if marker in (0xD9, 0xDA):
            return None
        offset += 2 + struct.unpack(">H", part[2:4])[0]
    return None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    kind = head[12:16]
    if kind == b"VP8X":
        return int.from_bytes(head[24:27], "little") + 1, int.from_bytes(head[27:30], "little") + 1
    if kind == b"VP8L":
        bits = struct.unpack("<I", head[21:25])[0]
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 ":
        width, height = struct.unpack("<HH", head[26:30])
        return width & 0x3FFF, height & 0x3FFF
    return None
