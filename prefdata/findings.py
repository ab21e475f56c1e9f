"""The catalogue of findings: every code with its severity, message, hint, examples, and whether it can be fixed.

The texts live in `findings.toml`, the one source of `prefdata explain`, of docs/findings.md and of what the rules
print; rules name only a code, a place and what they saw. Codes are grouped as the rules are:

    0xx syntax   1xx turns   2xx pair   3xx placeholder   4xx image   5xx duplicate   6xx length   7xx mixture
    8xx archive
"""

import functools
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from prefdata.errors import PrefdataError

Severity = Literal["error", "warning"]
GROUPS = ("syntax", "turns", "pair", "placeholder", "image", "duplicate", "length", "mixture", "archive")


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One code of the catalogue."""

    severity: Severity
    message: str
    hint: str
    bad: str = ""
    good: str = ""
    format: str = "mmpr"
    needs: Literal["", "bytes", "file", "image"] = ""
    fixable: bool = False
    on_request: bool = False
    """True in much sound data, so looked for only where `--select` names the code in full."""


class Hit(msgspec.Struct, frozen=True):
    """What a rule reports: a code, the place inside the row, and what was seen there."""

    code: str
    field: str = ""
    detail: str = ""


class Finding(msgspec.Struct, frozen=True):
    """A hit with its file and line and the words of the catalogue, as users see it."""

    code: str
    severity: Severity
    path: str
    line: int
    field: str
    message: str
    hint: str


@functools.cache
def catalogue() -> dict[str, Entry]:
    """All codes in order."""
    text = Path(__file__).with_name("findings.toml").read_text(encoding="utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Entry])


def entry(code: str) -> Entry:
    """The entry of a code, written in any case. Raises PrefdataError."""
    found = catalogue().get(code.upper())
    if found is None:
        raise PrefdataError(
            f"Unknown code {code!r}; codes run from PD001 to {max(catalogue())}, see docs/findings.md."
        )
    return found


def group(code: str) -> str:
    """The group of a code."""
    return GROUPS[int(code[2])]


def finding(hit: Hit, path: str, line: int) -> Finding:
    """The finding of a hit at a place."""
    found = catalogue()[hit.code]
    message = found.message.replace("{detail}", hit.detail)
    return Finding(hit.code, found.severity, path, line, hit.field, message, found.hint)


class Chosen:
    """Which codes are wanted: `--select` and `--ignore` take codes or their beginnings (PD4, PD401).

    Codes that are only looked for on request must be named in full; `--select PD,PD028` adds one to the others.
    """

    def __init__(self, select: tuple[str, ...] = (), ignore: tuple[str, ...] = ()) -> None:
        self._select, self._ignore = _prefixes(select), _prefixes(ignore)
        self._known: dict[str, bool] = {}

    def __contains__(self, code: str) -> bool:
        if code not in self._known:
            wanted = not self._select or code.startswith(self._select)
            if catalogue()[code].on_request:
                wanted = code in self._select
            self._known[code] = wanted and not (self._ignore and code.startswith(self._ignore))
        return self._known[code]


def _prefixes(given: tuple[str, ...]) -> tuple[str, ...]:
    prefixes = []
    for text in given:
        for prefix in text.replace(",", " ").split():
            name = prefix.upper()
            if not any(code.startswith(name) for code in catalogue()) or not name.startswith("PD"):
                raise PrefdataError(
                    f"{prefix!r}: no code begins like this; see docs/findings.md or `prefdata explain`."
                )
            prefixes.append(name)
    return tuple(prefixes)


def detail(value: object, limit: int = 60) -> str:
    """A value as shown in a message: quoted, on one line, cut."""
    text = repr(value)
    return text if len(text) <= limit else f"{text[: limit - 1]}…"
