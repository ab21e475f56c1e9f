"""Images: where a reference points, whether the file is sound, and its pixels.

Checks come in tiers, each with all of the former: `stat` (there, a file, not empty), `header` (known type, sane size,
not cut off; a few kilobytes read, no Pillow), `decode` (every frame decoded by Pillow). The decision to question:
symbolic links inside an image root are followed, since data sets are commonly linked into place; what may not leave
the root is the *path written in the data*.
"""

import io
import os
import re
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

from prefdata.errors import PrefdataError
from prefdata.imageheader import MAX_PIXELS, Problem, check_header

if TYPE_CHECKING:
    from PIL.Image import Image

Tier = Literal["none", "stat", "header", "decode"]

# Enough for the size of every common type unless a JPEG carries a large preview before it.
_HEAD = 4096
_TAIL = 32


# https://, s3://, petrel://, and `cluster:s3://` as it leaks out of clusters' object stores.
_SCHEME = re.compile(r"[A-Za-z][\w.+-]{1,20}(?::\w{1,10})?://")


class Escapes(PrefdataError):
    """The reference leaves the image root."""


def is_url(uri: str) -> bool:
    """Whether a reference needs the network (never fetched here) or is inline data."""
    return uri.startswith("data:") or (_SCHEME.match(uri) is not None and not uri.startswith("file://"))


def resolve(uri: str, root: Path | None, base: Path) -> Path:
    """The file a reference means.

    With `root`: relative to it, and it may not leave it. Without: relative to `base` (the data file's own folder),
    then to the working directory. Raises PrefdataError.
    """
    if uri.startswith("data:"):
        raise PrefdataError(f"{uri[:60]}: a data URI; write the image into a file and name that.")
    if is_url(uri):
        raise PrefdataError(
            f"{uri[:200]}: images are not fetched from the network; download it and name the file."
        )
    if "\0" in uri or not uri:
        raise PrefdataError(f"{uri!r}: not a path.")
    uri = uri.removeprefix("file://")
    if root is not None:
        whole = os.path.normpath(root / uri)
        inside = os.path.normpath(root)
        if inside == ".":
            escapes = whole == ".." or whole.startswith(("../", "/"))
        else:
            escapes = whole != inside and not whole.startswith(inside.rstrip("/") + "/")
        if escapes:
            raise Escapes(f"{uri}: leaves the image root {root}; only files under it are read.")
        return Path(whole)
    near, far = base / uri, Path(uri)
    try:
        return near if near.exists() or not far.exists() else far
    except OSError as error:
        raise PrefdataError(f"{uri[:200]}: not a usable path ({error.strerror}).") from error


def check(path: Path, tier: Tier) -> tuple[Problem, ...]:
    """What is wrong with an image file; nothing when it is sound as far as the tier looks."""
    if tier == "none":
        return ()
    try:
        return _check(path, tier)
    except OSError as error:
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return (Problem("PD401", str(path)),)
        return (Problem("PD409", f"{path}: {error.strerror or error}"),)


def open_file(path: Path) -> BinaryIO:
    """A regular file to read. Raises OSError at anything else; opening a pipe would wait for its writer."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError("not a regular file")
    return open(descriptor, "rb")


def _check(path: Path, tier: Tier) -> tuple[Problem, ...]:
    if tier == "stat":
        return _check_stat(path, os.stat(path))
    # One open serves stat, head and tail: half the system calls of asking by path.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        if problems := _check_stat(path, status):
            return problems
        head = os.pread(descriptor, _HEAD, 0)
        tail = (
            os.pread(descriptor, _TAIL, max(0, status.st_size - _TAIL))
            if status.st_size > _HEAD
            else head[-_TAIL:]
        )
        problems = check_header(
            head, tail, lambda offset, size: os.pread(descriptor, size, offset), status.st_size
        )
    finally:
        os.close(descriptor)
    return _decoded(path, problems) if tier == "decode" else problems


def _decoded(source: Path | io.BytesIO, problems: tuple[Problem, ...]) -> tuple[Problem, ...]:
    if any(problem.code in ("PD403", "PD406") for problem in problems):
        return problems
    found = {problem.code: problem for problem in (*problems, *_check_decode(source))}
    if "PD405" in found and "PD404" in found:
        del found["PD405"]
    return tuple(found.values())


def check_bytes(data: bytes, tier: Tier) -> tuple[Problem, ...]:
    """What is wrong with an image whose bytes stand in the row."""
    if tier == "none":
        return ()
    if not data:
        return (Problem("PD402", "no bytes in the row"),)
    if tier == "stat":
        return ()
    problems = check_header(
        data[:_HEAD], data[-_TAIL:], lambda offset, size: data[offset : offset + size], len(data)
    )
    return _decoded(io.BytesIO(data), problems) if tier == "decode" else problems


def _check_stat(path: Path, status: os.stat_result) -> tuple[Problem, ...]:
    if not stat.S_ISREG(status.st_mode):
        return (Problem("PD409", f"{path}: not a regular file"),)
    if status.st_size == 0:
        return (Problem("PD402", str(path)),)
    return ()


def _check_decode(source: Path | io.BytesIO) -> tuple[Problem, ...]:
    from PIL import Image

    problems: list[Problem] = []
    try:
        # Pillow's warnings repeat what the findings say.
        with warnings.catch_warnings(action="ignore"), Image.open(source) as image:
            if image.width * image.height > MAX_PIXELS:
                return (Problem("PD406", f"{image.width}x{image.height}"),)
            frames = getattr(image, "n_frames", 1)
            image.load()
            if frames > 1:
                problems.append(Problem("PD410", f"{frames} frames"))
            if image.mode == "CMYK":
                problems.append(Problem("PD411", "CMYK"))
            elif image.mode in ("I", "F") or image.mode.startswith("I;16"):
                problems.append(Problem("PD411", f"mode {image.mode}"))
            if image.getexif().get(_ORIENTATION, 1) not in (0, 1):
                problems.append(Problem("PD412", f"orientation {image.getexif()[_ORIENTATION]}"))
            alpha = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            if alpha and any(image.convert("RGBA").getchannel("A").histogram()[:255]):
                problems.append(Problem("PD419", f"mode {image.mode}"))
    except Image.DecompressionBombError as error:
        return (Problem("PD406", str(error)),)
    except PILLOW_ERRORS as error:
        return (*problems, Problem("PD405", f"{type(error).__name__}: {error}"))
    return tuple(problems)


_ORIENTATION = 0x0112
# What Pillow's decoders raise on damaged files, besides OSError.
PILLOW_ERRORS = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    OverflowError,
    MemoryError,
)


def load_rgb(source: Path | bytes) -> "Image":
    """The first frame as RGB: EXIF orientation applied, transparency laid on white. Raises PrefdataError."""
    from PIL import Image, ImageOps

    name = str(source) if isinstance(source, Path) else f"{len(source)} bytes of image data"
    try:
        with (
            io.BytesIO(source) if isinstance(source, bytes) else open_file(source) as stream,
            Image.open(stream) as opened,
        ):
            opened.load()
            image: Image.Image = ImageOps.exif_transpose(opened)
            return _rgb(image)
    except FileNotFoundError:
        raise PrefdataError(f"{name}: no such image; check the path and the image root.") from None
    except Image.DecompressionBombError as error:
        raise PrefdataError(f"{name}: {error}; a picture this large is not decoded.") from error
    except PILLOW_ERRORS as error:
        raise PrefdataError(
            f"{name}: cannot be decoded as an image ({type(error).__name__}: {error})."
        ) from error


def _rgb(image: "Image") -> "Image":
    from PIL import Image

    if image.mode == "RGB":
        return image.copy()
    if image.mode.startswith("I"):
        # Sixteen-bit greys: convert() alone would clip everything above 255 to white.
        return image.point(lambda value: value * (1 / 256)).convert("L").convert("RGB")
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(image, mask=image.getchannel("A"))
        return white
    return image.convert("RGB")
