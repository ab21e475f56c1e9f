"""Makes the page: one pass over the sources for numbers and a sample, then thumbnails, then one file.

Where it stands: `prefdata report`, `validate --report` and generation runs call `write_report`. The decision to
question: rows that cannot be read are passed over here and counted; they are shown among the findings, which name
their lines.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from prefdata.mixtures.model import Source
from prefdata.progress import progress
from prefdata.records import Media, PreferencePair, Record
from prefdata.report.entries import entry_of
from prefdata.report.page import write_page
from prefdata.report.sample import Sample
from prefdata.report.thumbs import Thumbs, shrink
from prefdata.stats import Collector
from prefdata.stats.read import readable

if TYPE_CHECKING:
    from prefdata.validate import Options, Report

Hits = dict[tuple[str, int], list[tuple[str, str, str]]]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds the page: rows shown, thumbnails, their longest edge in pixels and their bytes together."""

    rows: int = 2000
    thumbnails: int = 500
    edge: int = 256
    bytes: int = 8 * 1024 * 1024
    seed: int = 0


class Shown(msgspec.Struct, frozen=True):
    """A row chosen for the page."""

    source: int
    line: int
    record: Record


def write_report(
    path: Path,
    sources: Sequence[Source],
    findings: "Report | None" = None,
    *,
    title: str = "",
    limits: Limits | None = None,
    options: "Options | None" = None,
) -> dict[str, int]:
    """Write the page; returns {"rows", "shown", "thumbnails", "bytes"}. Raises PrefdataError.

    findings: what `validate` found in the same files; None validates them here, with `options` but for the image root.
    """
    limits = limits or Limits()
    if findings is None:
        findings = _validated(sources, options)
    hits = _by_place(findings)
    sample: Sample[Shown] = Sample(limits.rows, limits.seed)
    collectors = []
    for number, source in enumerate(sources):
        collector = Collector(source.name)
        collectors.append(collector)
        with progress(f"report {source.name}") as bar:
            _gather(number, source, collector, hits, sample, limits)
            bar.advance(collector.rows)
    shown = sample.result()
    thumbs = Thumbs(limits.thumbnails, limits.edge, limits.bytes)
    entries = []
    for one in shown:
        place = (str(sources[one.source].annotation), one.line)
        entries.append(entry_of(one.record, one.source, one.line, hits.get(place, [])))
    _pictures(shown, sources, entries, thumbs)
    size = write_page(
        path,
        title=title or ", ".join(source.annotation.name for source in sources[:3]),
        sources=sources,
        collectors=collectors,
        findings=findings,
        entries=entries,
        thumbs=thumbs.urls,
    )
    rows = sum(collector.rows for collector in collectors)
    return {"rows": rows, "shown": len(entries), "thumbnails": len(thumbs.urls), "bytes": size}


def _validated(sources: Sequence[Source], options: "Options | None") -> "Report":
    from prefdata.validate import Options, Report, validate

    whole = Report(files=[], findings=[], counts={}, unreadable=[])
    for root in dict.fromkeys(source.root for source in sources):
        files = [source.annotation for source in sources if source.root == root]
        part = validate(files, msgspec.structs.replace(options or Options(), image_root=root))
        whole.files += part.files
        whole.findings += part.findings
        whole.unreadable += part.unreadable
        whole.rows += part.rows
        for code, count in part.counts.items():
            whole.counts[code] = whole.counts.get(code, 0) + count
    return whole


def _by_place(findings: "Report") -> Hits:
    hits: Hits = {}
    for found in findings.findings:
        field = f"{found.field}: " if found.field else ""
        place = hits.setdefault((found.path, found.line), [])
        place.append((found.code, found.severity, field + found.message))
    return hits


def _gather(
    number: int, source: Source, collector: Collector, hits: Hits, sample: Sample[Shown], limits: Limits
) -> None:
    path = str(source.annotation)
    for line, record in readable(source, collector):
        collector.add(record)
        marked = (path, line) in hits
        place = sample.wanted(marked=marked)
        if place is not None:
            sample.put(place, Shown(number, line, shrink(record, limits.edge)), marked=marked)


def _pictures(
    shown: Sequence[Shown], sources: Sequence[Source], entries: list[dict[str, Any]], thumbs: Thumbs
) -> None:
    """First every row's first image, then the second ones, so that the limit leaves no row bare before it must."""
    media = [_media(one.record) for one in shown]
    for turn in range(max(map(len, media), default=0)):
        for one, pictures, entry in zip(shown, media, entries, strict=True):
            if turn < len(pictures):
                source = sources[one.source]
                entry["images"].append(thumbs.take(pictures[turn], source.root, source.annotation.parent))


def _media(record: Record) -> tuple[Media, ...]:
    if isinstance(record, PreferencePair) and record.rejected_media:
        return record.media + tuple(m for m in record.rejected_media if m not in record.media)
    return record.media
