"""Where the rows of each question lie in files of samples, and those rows read back, one question at a time.

The rows of one question may lie anywhere in any of the files, so the files are read twice: memory holds places, not
text. Between the two a file may be written again by whoever samples into it, even with lines of the same lengths;
what is read back must then not be taken for what was counted: size, time and inode are noted before the first pass,
and every row that is read back must belong to its question.
"""

import os
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import xxhash

from pipelines.judging import ANSWER_TYPES
from pipelines.questions import group_id
from prefdata.containers import BOM
from prefdata.errors import EXIT_DATA, NoRows, PrefdataError
from prefdata.progress import say

_NEEDED = ("question", "response", "answer")


class _Optional(msgspec.Struct, gc=False):
    """What else judging reads of a row, where it is there."""

    answer_type: str | None = None
    options: list[str] | None = None
    finish_reason: str | None = None
    seed: int | None = None


class Places:
    """Where the rows of each question lie: question id -> (file number, byte offset, length) triples."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = list(files)
        self.rows = 0
        self._places: dict[str, array[int]] = {}
        self._states: list[tuple[int, int, int]] = []
        self._hashes: list[str] = []
        for number, file in enumerate(self.files):
            self._read(number, file)
        if not self.rows:
            where = self.files[0] if len(self.files) == 1 else self.files[0].parent
            raise NoRows(f"--samples {where}: empty; there is no row in it.")

    def _read(self, number: int, file: Path) -> None:
        digest = xxhash.xxh3_128()
        with file.open("rb") as stream:
            self._states.append(_state(os.fstat(stream.fileno())))
            offset = 0
            for line_number, whole in enumerate(stream, 1):
                digest.update(whole)
                line = whole.removeprefix(BOM) if line_number == 1 else whole
                if line.strip():
                    row = _decoded(file, line_number, line, last=not line.endswith(b"\n"))
                    if row is not None:
                        self._places.setdefault(group_id(row), array("q")).extend(
                            (number, offset + len(whole) - len(line), len(line))
                        )
                        self.rows += 1
                offset += len(whole)
        self._hashes.append(digest.hexdigest())

    @property
    def ids(self) -> list[str]:
        """Question ids in the order of their first row."""
        return list(self._places)

    def of(self, identity: str, streams: Sequence[BinaryIO], most: int | None) -> list[dict[str, Any]]:
        """The rows of one question in file order, at most `most`. Raises PrefdataError where they are others now."""
        place = self._places[identity]
        rows = []
        for at in range(0, len(place) if most is None else min(len(place), 3 * most), 3):
            stream = streams[place[at]]
            stream.seek(place[at + 1])
            try:
                row = msgspec.json.decode(stream.read(place[at + 2]))
            except msgspec.DecodeError as error:
                raise _changed(self.files[place[at]]) from error
            if not isinstance(row, dict) or group_id(row) != identity:
                raise _changed(self.files[place[at]])
            rows.append(row)
        return rows

    def check(self, inputs: Mapping[str, Mapping[str, Any]]) -> None:
        """Raise PrefdataError where a file is no longer what was read, or that was not what `inputs` of a run names."""
        named = {entry["path"]: entry["hash"] for entry in inputs.values()}
        for file, state, found in zip(self.files, self._states, self._hashes, strict=True):
            try:
                same = _state(file.stat()) == state
            except FileNotFoundError:
                same = False
            if not same or named[str(file.absolute())] != found:
                raise _changed(file)


def _state(found: os.stat_result) -> tuple[int, int, int]:
    return found.st_size, found.st_mtime_ns, found.st_ino


def _changed(file: Path) -> PrefdataError:
    return PrefdataError(f"{file}: changed while it was read; run the command again.", exit_code=EXIT_DATA)


def _decoded(file: Path, number: int, line: bytes, *, last: bool) -> dict[str, Any] | None:
    try:
        row = msgspec.json.decode(line)
    except msgspec.DecodeError as error:
        if last:
            say(f"{file}:{number}: the last line is cut off; it is left out.")
            return None
        raise PrefdataError(f"{file}:{number}: not valid JSON ({error}).") from error
    if (
        not isinstance(row, dict)
        or not all(key in row for key in _NEEDED)
        or not isinstance(row["response"], str)
    ):
        raise PrefdataError(
            f"{file}:{number}: not a sampled row; `question`, `response` (text) and `answer` are needed."
        )
    try:
        kind = msgspec.convert(row, _Optional).answer_type
    except msgspec.ValidationError as error:
        raise PrefdataError(f"{file}:{number}: not a sampled row ({error}).") from error
    if kind and kind not in ANSWER_TYPES:
        raise PrefdataError(
            f"{file}:{number}: answer_type {kind!r} is not known; use one of {', '.join(ANSWER_TYPES)}."
        )
    return row
