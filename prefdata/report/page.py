"""Puts the page together: template, style, script and data, in one file that reaches for nothing outside itself.

Data goes in as JSON in which no `<` is left, so no row can end the block it stands in; the script puts it on the page
as text. The content security policy allows exactly the one script and the one style of this file, by their hashes:
were a row ever to become markup, it still could neither run nor fetch anything.
"""

import base64
import hashlib
import os
import re
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from prefdata import __version__
from prefdata.atomic import atomic_writer
from prefdata.findings import catalogue
from prefdata.mixtures.model import Source
from prefdata.report.audit import audit_of
from prefdata.report.figures import histogram, shares
from prefdata.stats import Collector

if TYPE_CHECKING:
    from prefdata.validate import Report

_PLACES = 25
_TITLE = 160
_HEAD = (
    "Source", "Format", "Rows", "Pairs", "Errors", "Warnings", "Chosen, median", "Rejected, median",
    "Longer is chosen", "Same first word", "Duplicates", "Images",
)  # fmt: skip


def write_page(
    path: Path,
    *,
    title: str,
    sources: Sequence[Source],
    collectors: Sequence[Collector],
    findings: "Report",
    entries: list[dict[str, Any]],
    thumbs: list[str],
) -> int:
    """Write the file atomically; returns its size in bytes."""
    told = list(findings.unreadable)
    unreadable = sum(collector.unreadable for collector in collectors)
    if unreadable:
        told.append(f"{unreadable:,} rows cannot be read and are not shown below; the findings name them.")
    told.append(f"Made by prefdata {__version__}. This file holds everything it shows and opens offline.")
    data = {
        "sources": short_names([source.annotation for source in sources]),
        "paths": [beside(source.annotation, path) for source in sources],
        "tiles": _tiles(collectors, findings),
        "table": {"head": _HEAD, "rows": _table(path, sources, collectors, findings)},
        "notes": told,
        "findings": _findings(path, findings),
        "audit": audit_of(sources),
        "rows": entries,
        "total": sum(collector.rows for collector in collectors),
        "thumbs": thumbs,
    }
    page = render(title, data, figures(collectors))
    with atomic_writer(path) as stream:
        stream.write(page)
    return len(page)


def render(title: str, data: Any, figures: str) -> bytes:
    """The page's bytes. `figures` is markup of ours; everything else is escaped here."""
    here = files("prefdata.report")
    style, script = (here.joinpath(name).read_text("utf-8") for name in ("page.css", "page.js"))
    parts = {
        "title": escape(title),
        "style": style,
        "script": script,
        "policy": "; ".join(
            (
                "default-src 'none'", "img-src data:", f"style-src '{_hash(style)}'", f"script-src '{_hash(script)}'",
                "base-uri 'none'", "form-action 'none'",
            )
        ),
        "figures": figures,
        "data": embedded(data),
    }  # fmt: skip
    template = here.joinpath("page.html").read_text("utf-8")
    # One pass: a placeholder inside the data is text like any other.
    whole = re.sub(r"\{\{(\w+)\}\}", lambda match: parts[match[1]], template)
    # A lone surrogate has no bytes; as a backslash escape it stays readable for JSON.
    return whole.encode("utf-8", "backslashreplace")


def embedded(data: Any) -> str:
    """JSON that can stand inside a script element."""
    text = msgspec.json.encode(data).decode()
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def short_names(paths: Sequence[Path]) -> list[str]:
    """The shortest ends of the paths that tell them apart."""
    parts = [path.parts for path in paths]
    names = []
    for own in parts:
        take = 1
        while take < len(own) and sum(other[-take:] == own[-take:] for other in parts) > 1:
            take += 1
        names.append("/".join(own[-take:]))
    return names


def beside(path: Path, page: Path) -> str:
    """A path as the page shows it: relative where it lies beside the page, so that a moved run stays the same."""
    whole, folder = os.path.abspath(path), os.path.abspath(page.parent)
    return os.path.relpath(whole, folder) if whole.startswith(folder.rstrip("/") + "/") else str(path)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _tiles(collectors: Sequence[Collector], findings: "Report") -> list[tuple[str, str]]:
    pairs = sum(collector.pairs for collector in collectors)
    tiles = [
        ("rows", f"{sum(collector.rows for collector in collectors):,}"),
        ("errors", f"{findings.errors:,}"),
        ("warnings", f"{findings.warnings:,}"),
    ]
    if pairs:
        longer = sum(collector.longer + collector.equal_length / 2 for collector in collectors)
        first = sum(collector.same_first_word for collector in collectors)
        tiles += [
            ("pairs", f"{pairs:,}"),
            ("accuracy of “the longer is better”", f"{longer / pairs:.1%}"),
            ("same first word", f"{first / pairs:.1%}"),
        ]
    tiles.append(("duplicates", f"{sum(collector.duplicates for collector in collectors):,}"))
    images = sum(collector.images for collector in collectors)
    if images:
        tiles.append(("images", f"{images:,}"))
    return tiles


def _table(
    page: Path, sources: Sequence[Source], collectors: Sequence[Collector], findings: "Report"
) -> list[tuple[str, ...]]:
    checked = {file.path: file for file in findings.files}
    rows: list[tuple[str, ...]] = []
    for source, found in zip(sources, collectors, strict=True):
        file = checked.get(str(source.annotation))
        pairs = found.pairs
        rows.append(
            (
                beside(source.annotation, page),
                str(source.format),
                f"{found.rows:,}",
                f"{pairs:,}",
                f"{file.errors:,}" if file else "–",
                f"{file.warnings:,}" if file else "–",
                _median(found, "chosen"),
                _median(found, "rejected"),
                f"{found.length_baseline:.1%}" if found.length_baseline is not None else "–",
                f"{found.same_first_word / pairs:.1%}" if pairs else "–",
                f"{found.duplicates:,}",
                f"{found.images:,}",
            )
        )
    return rows


def _median(found: Collector, side: str) -> str:
    return f"{found.sides[side].summary()['characters']['median']:,}" if side in found.sides else "–"


def _findings(page: Path, findings: "Report") -> list[dict[str, Any]]:
    known = catalogue()
    places: dict[str, list[tuple[str, str]]] = {}
    for found in findings.findings:
        listed = places.setdefault(found.code, [])
        if len(listed) < _PLACES:
            listed.append((f"{beside(Path(found.path), page)}:{found.line}", found.message))
    order = sorted(findings.counts, key=lambda code: (known[code].severity != "error", code))
    return [
        {
            "code": code,
            "severity": known[code].severity,
            "title": _title(known[code].message, [said for _, said in places.get(code, [])]),
            "hint": known[code].hint,
            "count": findings.counts[code],
            "places": places.get(code, []),
        }
        for code in order
    ]


def _title(template: str, messages: Sequence[str]) -> str:
    """What a group of findings has in common: what all say, else the catalogue's words with the details left out."""
    if len(set(messages)) == 1:
        return messages[0][:_TITLE]
    words = template.replace(": {detail}", "").replace("{detail}", "…")
    return f"{messages[0][:_TITLE]}, …" if words == "…" and messages else words


def figures(collectors: Sequence[Collector]) -> str:
    """All distributions of the page."""

    def gathered(side: str, unit: str) -> list[int]:
        found = [getattr(one.sides[side], unit) for one in collectors if side in one.sides]
        return [value for values in found for value in values]

    drawn = []
    chosen, rejected = gathered("chosen", "chars"), gathered("rejected", "chars")
    if chosen and len(chosen) == len(rejected):
        drawn.append(
            histogram("Characters", [("chosen", "chosen", chosen), ("rejected", "rejected", rejected)])
        )
        gaps = [a - b for a, b in zip(chosen, rejected, strict=True)]
        drawn.append(
            histogram("Length gap in characters", [("plain", "chosen − rejected", gaps)], signed=True)
        )
        words = [
            ("chosen", "chosen", gathered("chosen", "words")),
            ("rejected", "rejected", gathered("rejected", "words")),
        ]
        drawn.append(histogram("Words", words))
    for side in ("answer", "candidate"):
        drawn.append(histogram("Characters", [("plain", f"{side}s", gathered(side, "chars"))]))
    prompts = [value for one in collectors for value in one.prompts.chars]
    drawn.append(histogram("Characters", [("plain", "prompts", prompts)]))
    scripts: dict[str, int] = {}
    for one in collectors:
        for name, count in one.scripts.items():
            scripts[name] = scripts.get(name, 0) + count
    drawn.append(shares("Script of the (chosen) answers", sorted(scripts.items(), key=lambda part: -part[1])))
    return "".join(drawn)
