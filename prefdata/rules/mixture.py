"""PD7xx: a mixture's own problems: its text, its keys, the files and folders it names."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from prefdata.findings import Hit
from prefdata.mixtures.counts import MOST_COPIES
from prefdata.mixtures.meta import LICENCE, MetaDocument, source_problems
from prefdata.mixtures.model import Source


def document_hits(document: MetaDocument) -> Iterator[tuple[int, Hit]]:
    """(line, hit) of the text itself."""
    for line in document.trailing:
        yield line, Hit("PD701")
    for line, name in document.repeated():
        yield line, Hit("PD711", name, repr(name))


def entry_hits(name: str, entry: Any) -> Iterator[Hit]:
    """Keys and types of one source."""
    for problem in source_problems(name, entry):
        yield Hit(problem.code, name, problem.detail)
    if isinstance(entry, dict):
        if not any(entry.get(key) for key in LICENCE):
            yield Hit("PD712", name, repr(name))
        annotation = entry.get("annotation")
        if isinstance(annotation, str) and annotation and not annotation.endswith("jsonl"):
            yield Hit("PD707", name, annotation)


def source_hits(source: Source, rows: int | None) -> Iterator[Hit]:
    """Files, folders and counts of one source; `rows` is None when the annotation is missing."""
    if rows is None:
        yield Hit("PD702", source.name, str(source.annotation))
    if source.root is not None and not source.root.is_dir() and not str(source.root).startswith("s3://"):
        yield Hit("PD706", source.name, str(source.root))
    if rows is None:
        return
    if source.length is not None and source.length != rows:
        yield Hit(
            "PD703", source.name, f"{source.length} in the mixture, {rows} rows in {source.annotation.name}"
        )
    if rows and source.count is not None and source.count > MOST_COPIES * rows:
        yield Hit("PD705", source.name, f"{source.count} of {rows} rows is more than {MOST_COPIES:,} copies")
    elif rows and source.count is not None:
        if source.count < 1:
            yield Hit("PD710", source.name, f"{source.count.normalize():f} rows are asked for")
    elif rows and source.repeat_time * rows < Decimal(1):
        yield Hit("PD710", source.name, f"{source.repeat_time} x {rows} rows is below one")
