"""Which format is this file? Decided by content, never by the name.

Where it stands: every command that reads a data file asks here first, unless the user names the format. First the
container (`containers.probe`), then the keys of the first rows in a fixed order (`_BY_KEYS`, the order of the format
specification); the reason is told, and where a neighbouring format would fit as well it is named. Formats of other
packages are asked last. A shape that is known but holds nothing to read as a record is refused with a sentence of its
own.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from prefdata.arrays import BrokenArray
from prefdata.containers import Container, head_rows, probe, raw_rows
from prefdata.errors import PrefdataError
from prefdata.shapes import Row, conversations, flat, messages, not_data, pairs, ranked, two_answers


class Sniffed(msgspec.Struct, frozen=True):
    """A file's format id (or a mixture's kind), its container, and why."""

    format: str
    container: Container
    reason: str


def sniff(path: Path, *, guess: bool = False) -> Sniffed:
    """The format of a file. Raises PrefdataError when it cannot be told or holds nothing that can be read.

    `guess`: where no row can be read, any format will do to show what is wrong with the rows.
    """
    probed = probe(path)
    if probed.container == "meta":
        return Sniffed("meta", "meta", "an object of sources with `annotation`: an InternVL mixture")
    rows = head_rows(path, probed.container)
    if not rows:
        rows, why = _mended_rows(path, probed.container)
        if not rows and guess:
            return Sniffed("mmpr", probed.container, "a guess: no row can be read")
        if not rows:
            raise PrefdataError(
                f"{path}: no readable row to tell the format from{why}; `prefdata validate` tells what is wrong."
            )
    best: tuple[str, str] | None = None
    for row in rows:
        if (found := by_keys(row, probed.container)) is not None:
            best = found
            # Text-only rows fit several conversation formats; an image decides.
            if _has_media(row) or found[0] not in _CHATS:
                break
    if best is None:
        raise PrefdataError(f"{path}: {_unknown(rows[0], probed.container)}.")
    return Sniffed(best[0], probed.container, best[1])


def _mended_rows(path: Path, container: Container) -> tuple[list[Row], str]:
    """The first rows that can be read in part (NaN, a comma too many), else what is wrong with the first."""
    from prefdata.findings import finding
    from prefdata.rules import syntax

    rows: list[Row] = []
    why = ""
    if container in ("jsonl", "json"):
        try:
            for _, raw in zip(range(_LOOKED_AT), raw_rows(path, container), strict=False):
                row, hits = syntax.decode(raw)
                if row is not None:
                    rows.append(row)
                elif hits and not why:
                    why = (
                        f" (line {raw.line}: {hits[0].code}, {finding(hits[0], str(path), raw.line).message})"
                    )
        except BrokenArray as error:
            why = why or f" (line {error.line}: {error.problem})"
    return rows, why


_LOOKED_AT = 32
_CHATS = ("llava", "internvl-sft", "sharegpt", "openai", "ixc-sft-2.5")


def by_keys(row: Row, container: Container = "jsonl") -> tuple[str, str] | None:
    """(format id, reason) of one row."""
    for test in _BY_KEYS:
        if (found := test(row)) is not None:
            return found
    if "conversations" in row or "conversation" in row:
        return conversations(row, container)
    if (found := messages(row)) is not None:
        return found
    return _added(row)


_BY_KEYS: tuple[Callable[[Row], tuple[str, str] | None], ...] = (pairs, ranked, flat, two_answers)


def _has_media(row: Row) -> bool:
    return any(row.get(key) for key in ("image", "images", "videos", "audios"))


def _added(row: Row) -> tuple[str, str] | None:
    from prefdata.formats import added

    for fmt in added():
        if reason := fmt.recognise(row):
            return fmt.id, reason
    return None


def _unknown(row: dict[str, Any], container: Container) -> str:
    if (what := not_data(row)) is not None:
        return what
    for key, value in row.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            told = by_keys(value[0], container)
            if told is not None:
                return f"the rows (of `{told[0]}`) lie in a list under `{key}`; write the list alone"
    keys = ", ".join(f"`{key}`" for key in list(row)[:8]) or "no keys"
    return f"no known format has rows with {keys}; `prefdata formats` lists them, and `validate --format` forces one"
