"""Rows for looking at, not for training: what cannot be read is counted and passed over."""

from collections.abc import Iterator
from typing import Any

import msgspec

from prefdata.arrays import BrokenArray
from prefdata.containers import as_row, parquet_rows, probe, raw_rows
from prefdata.formats import BadRow, get
from prefdata.mixtures.model import Source
from prefdata.records import Record
from prefdata.stats.collect import Collector


def readable(source: Source, collector: Collector) -> Iterator[tuple[int, Record]]:
    """(line, record) of every row that can be read; the others are counted."""
    container = probe(source.annotation).container
    reader = get(str(source.format))
    if container == "parquet":
        for line, row in parquet_rows(source.annotation):
            yield from _record(reader, line, row, collector)
        return
    try:
        for raw in raw_rows(source.annotation, container):
            if raw.data.isspace():
                continue
            try:
                row = msgspec.json.decode(raw.data)
            except (msgspec.DecodeError, RecursionError, ValueError):
                collector.unreadable += 1
                continue
            yield from _record(reader, raw.line, row, collector)
    except BrokenArray as error:
        collector.unreadable += not error.harmless


def _record(reader: Any, line: int, row: Any, collector: Collector) -> Iterator[tuple[int, Record]]:
    row = as_row(row)
    try:
        if not isinstance(row, dict):
            raise BadRow("", "not an object")
        record = reader.to_record(row)
    except BadRow:
        collector.unreadable += 1
        return
    yield line, record
