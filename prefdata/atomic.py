"""Files that appear whole or not at all, and never over what is being read.

Every file prefdata writes whole goes through `atomic_writer`: a temporary file beside the target, flushed to the disk,
then renamed. A reader therefore sees the old file or the new one, never half of one. What a killed process left of the
same target is removed when it is written again; a writer holds a lock on its file, so no living one loses it.
"""

import errno
import fcntl
import functools
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from prefdata.errors import PrefdataError

# A full disk, a quota, and a limit on the size of a file (`ulimit -f`).
NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def atomic_writer(path: Path) -> Iterator[BinaryIO]:
    """Write `path` completely or not at all; parent folders are made. Devices and folders are refused, not replaced."""
    if path.exists() and not path.is_file():
        raise PrefdataError(f"{path}: is not a regular file and is not replaced; name a file to write.")
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_leftovers(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as stream:
            with suppress(OSError):  # a file system without locks: what is left there stays
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        # A full disk is told by write(2), which knows no name; the temporary one would say nothing to a user.
        if isinstance(error, OSError) and (
            error.filename == str(temporary) or (error.filename is None and error.errno in NO_SPACE)
        ):
            error.filename = str(path)
        raise


def keep_inputs(target: Path, inputs: Iterable[Path]) -> None:
    """Raises PrefdataError where writing `target` would overwrite what is read; a link to an input counts as it."""
    for path in inputs:
        same = target.exists() and path.exists() and os.path.samefile(target, path)
        if same or os.path.realpath(target) == os.path.realpath(path):
            raise PrefdataError(
                f"{target}: would overwrite an input of this command; name another file to write."
            )


def _remove_leftovers(path: Path) -> None:
    start = f".{path.name}."
    for name in _temporary(os.path.abspath(path.parent)):
        number = name.removeprefix(start).removesuffix(".tmp")
        if not name.startswith(start) or not number.isdecimal() or _alive(int(number)):
            continue
        with suppress(OSError), open(path.with_name(name), "rb") as stream:
            fcntl.flock(
                stream, fcntl.LOCK_EX | fcntl.LOCK_NB
            )  # held where the writer lives on another machine
            os.unlink(stream.name)


@functools.cache
def _temporary(folder: str) -> tuple[str, ...]:
    """Temporary files of a folder, looked for once: a thousand extracted images would list it a thousand times."""
    return tuple(name for name in os.listdir(folder) if name.startswith(".") and name.endswith(".tmp"))


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    return True
