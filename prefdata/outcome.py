"""What a conversion is asked for and what came of it: the words that the command line, mixtures and tests share."""

from pathlib import Path
from typing import Literal

import msgspec

from prefdata.formats.pairing import Policy

# So many lines are named with each count.
FIRST_LINES = 5


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """How to convert."""

    to: str
    source: str | None = None
    on_loss: Literal["warn", "error"] = "warn"
    flatten_turns: bool = False
    limit: int | None = None
    # How rankings become pairs; None: they are refused.
    pairing: Policy | None = None
    min_gap: float = 0.0
    container: Literal["jsonl", "json", "parquet"] | None = None
    extract_images: Path | None = None
    # Read the result back and compare before it takes its place.
    verify: bool = False


class Count(msgspec.Struct):
    """How many rows, and the lines of the first of them."""

    rows: int = 0
    lines: list[int] = []


class Outcome(msgspec.Struct, kw_only=True):
    """What became of the rows. Keys of the three tables name what was lost, ignored or the reason for leaving out."""

    source: str
    target: str
    read: int = 0
    written: int = 0
    lost: dict[str, Count] = {}
    ignored: dict[str, Count] = {}
    left_out: dict[str, Count] = {}
    unreadable: dict[str, Count] = {}
    # Images, videos or audio of the written rows are named by relative paths that stand as they were in the source.
    relative_paths: bool = False
    verified: bool = False

    def merge(self, other: "Outcome", lines: tuple[int, ...], rows: int) -> None:
        """Add what came of one row, `other`, for so many rows of which `lines` are the first."""
        self.read += rows
        self.written += rows * other.written
        self.relative_paths = self.relative_paths or other.relative_paths
        for ours, theirs in ((self.lost, other.lost), (self.ignored, other.ignored)):
            for name in theirs:
                note(ours, name, *lines, rows=rows)

    def sort(self) -> None:
        """Put names in the order of their first lines."""
        for name in ("lost", "ignored", "left_out", "unreadable"):
            table: dict[str, Count] = getattr(self, name)
            setattr(self, name, dict(sorted(table.items(), key=lambda item: (item[1].lines[0], item[0]))))

    @property
    def unread(self) -> int:
        """Rows that could not be read."""
        return sum(count.rows for count in self.unreadable.values())


def note(table: dict[str, Count], name: str, line: int, *more: int, rows: int = 1) -> None:
    """Count rows under a name; `line` and `more` are those of the first of them."""
    count = table.setdefault(name, Count())
    count.rows += rows
    if len(count.lines) < FIRST_LINES or line < count.lines[-1]:
        count.lines = sorted((*count.lines, line, *more))[:FIRST_LINES]
