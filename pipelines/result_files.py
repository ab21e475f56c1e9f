"""The result files of a run, written side by side: they appear together at the end, each whole or not at all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from prefdata.errors import from_os_error
from prefdata.jsonl import atomic_writer, encode_row

Write = Callable[[str, Mapping[str, Any]], None]


@contextmanager
def result_files(folder: Path, names: Sequence[str]) -> Iterator[tuple[Write, dict[str, int]]]:
    """`write(name, row)` for the files NAME.jsonl of a folder, and how many rows each has so far.

    Raises PrefdataError where one cannot be written; the same command goes on from there.
    """
    lengths = dict.fromkeys(names, 0)
    try:
        with ExitStack() as stack:
            streams = {name: stack.enter_context(atomic_writer(folder / f"{name}.jsonl")) for name in names}

            def write(name: str, row: Mapping[str, Any]) -> None:
                streams[name].write(encode_row(row))
                lengths[name] += 1

            yield write, lengths
    except OSError as error:
        if error.filename is None:
            error.filename = str(folder)
        raise from_os_error(error, resumes=True) from error
