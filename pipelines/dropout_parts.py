"""What a `dropout-ntp` run keeps of a row: one line of its parts, and whether a line found there can be used.

    {"id", "tokens"?: {"prompt", "generated"}, "pairs"?: [row], "dropped": [{"reason", "row"}]}

A row here is the input's with `rejected` and `meta`, or as it came where nothing was asked. People look into these
files, and some edit them: a line that a run cannot have written is named, not guessed at. What an edit left
plausible (another continuation) cannot be told from an answer.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from pipelines.rundir import RunDir, unusable


class Tokens(msgspec.Struct, gc=False):
    """Tokens of one row, or of many. 0 where an engine does not count them."""

    prompt: int = 0
    generated: int = 0

    def add(self, other: "Tokens") -> None:
        """Count the tokens of another row."""
        self.prompt += other.prompt
        self.generated += other.generated


class _Meta(msgspec.Struct, gc=False):
    prefix_characters: int


class _Made(msgspec.Struct, gc=False):
    rejected: str
    meta: _Meta


class _Left(msgspec.Struct, gc=False):
    reason: str
    row: dict[str, Any]


class _Line(msgspec.Struct, gc=False):
    pairs: list[dict[str, Any]] = []
    dropped: list[_Left] = []
    tokens: Tokens = msgspec.field(default_factory=Tokens)


def tokens_kept(run: RunDir, rows: Mapping[str, tuple[dict[str, Any], str]], n: int) -> Tokens:
    """The tokens of what earlier starts of a run did, after a look at every line.

    rows: id -> (row as asked, its `chosen`). n: samples of each. Raises PrefdataError at a line that a run cannot have
    written.
    """
    total = Tokens()
    for line in run.rows():
        identity = line["id"]
        if identity not in rows:
            raise unusable(run, identity, "no row of the input has this id")
        try:
            found = msgspec.convert(line, _Line)
            _check(found, *rows[identity], n)
        except (msgspec.ValidationError, ValueError) as error:
            raise unusable(run, identity, error) from error
        total.add(found.tokens)
    return total


def _check(line: _Line, asked: dict[str, Any], chosen: str, n: int) -> None:
    """Raises ValueError or msgspec.ValidationError."""
    untouched = [left for left in line.dropped if left.row == asked]
    if untouched and len(line.dropped) == 1 and not line.pairs:
        return  # nothing was asked
    if len(line.pairs) + len(line.dropped) != n:
        raise ValueError(f"it holds {len(line.pairs) + len(line.dropped)} samples instead of {n}")
    for row in (*line.pairs, *(left.row for left in line.dropped)):
        made = msgspec.convert(row, _Made)
        if _without_made(row) != _without_made(asked):
            raise ValueError("its row is not that of the input")
        if not made.rejected.startswith(chosen[: made.meta.prefix_characters]):
            raise ValueError("`rejected` does not begin like `chosen`")


def _without_made(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in ("rejected", "meta")}
