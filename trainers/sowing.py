"""Rows -> records of trees, in this process or, where that takes long, in several.

Where it stands: between `grow.py`, which writes what comes out, and `build.py`, which makes one tree. The decision to
question: every worker reads all rows and makes the trees of its share. Reading a row takes little beside tokenising it,
so nothing but finished records, a few pieces ahead, travels between processes. Workers are started only when the data
turns out to take longer than some seconds: they would not have begun before a small file is done.
"""

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from prefdata.errors import PrefdataError
from prefdata.mixtures import Mixture
from prefdata.readers import read_rows
from prefdata.records import Record
from trainers.build import TreeMaker, refuse_mute_template
from trainers.config import TrainConfig
from trainers.families import Opened
from trainers.filters import Sieve, make_sieve
from trainers.pixels import PixelStore
from trainers.settings import cores
from trainers.trees import BadRow, Measure
from trainers.treestore import encode

_ROWS = 64
"""Rows of a piece."""
_WORTH_WORKERS_SECONDS = 3.0
_PIECES_AHEAD = 4
_MOST_WORKERS = 8


class Row(NamedTuple):
    """What became of one row."""

    source: int
    place: str
    """file:line"""
    made: tuple[bytes, Measure] | None
    """The record of its tree and its measure."""
    reason: str = ""
    """Why there is none."""
    filtered: bool = False
    """Whether a filter left it out, which is no fault of the row."""


@dataclass
class Piece:
    """What became of some rows in a row."""

    rows: list[Row] = field(default_factory=list)
    images: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Size in bytes and time of change (ns) of each image file, and of each video's animation or folder."""
    ends_added: int = 0
    filtered: Counter[str] = field(default_factory=Counter)
    """Rows that a filter left out, by its name."""
    failure: str = ""
    """Why the data cannot be read any further."""


def pieces(config: TrainConfig, mixture: Mixture, opened: Opened, pixels: PixelStore) -> Iterator[Piece]:
    """All rows in order; workers take over when it takes long and `--num-workers` allows it."""
    started = time.monotonic()
    workers = _workers(config)
    done = 0
    for piece in _share(config, mixture, opened, pixels, 0, 0, 1):
        yield piece
        done += 1
        if workers and time.monotonic() - started > _WORTH_WORKERS_SECONDS:
            break
    else:
        return
    yield from _in_workers(config, mixture, opened, done, workers)


def _share(
    config: TrainConfig, mixture: Mixture, opened: Opened, pixels: PixelStore, first: int, mine: int, of: int
) -> Iterator[Piece]:
    """The pieces first + mine, first + mine + of, ... of the data."""
    limit = config.max_length or opened.max_length
    maker = TreeMaker(opened, pixels, config.stage != "sft", limit, config.video_frames)
    refuse_mute_template(opened)
    sieve = make_sieve(
        config, lambda text: len(opened.tokenizer(text, add_special_tokens=False)["input_ids"])
    )
    records = _records(mixture)
    number = 0
    while True:
        piece = Piece()
        try:
            rows = list(islice(records, _ROWS))
        except PrefdataError as error:
            yield Piece(failure=str(error))
            return
        if not rows:
            return
        if number >= first and (number - first) % of == mine:
            ends, left_out = maker.ends_added, Counter(sieve.counts)
            for source, place, record in rows:
                piece.rows.append(_made(maker, sieve, mixture, source, place, record, piece))
            piece.ends_added, piece.filtered = maker.ends_added - ends, sieve.counts - left_out
            yield piece
        number += 1


def _made(
    maker: TreeMaker, sieve: Sieve, mixture: Mixture, source: int, place: str, record: Record, piece: Piece
) -> Row:
    if reason := sieve.reason(record):
        return Row(source, place, None, reason, filtered=True)
    where = mixture.sources[source]
    try:
        tree = maker.tree(record, place, where.annotation.parent, where.root)
    except BadRow as error:
        return Row(source, place, None, str(error))
    if tree.pairs and tree.branch_keys[0] == tree.branch_keys[1]:
        return Row(
            source,
            place,
            None,
            "has two equal answers (token by token), which say nothing about which is better",
        )
    # A folder's time changes with its list of frames, so a video that gains frames is seen.
    for image in (*tree.images, *maker.videos):
        if isinstance(image, Path) and str(image) not in piece.images:
            stat = image.stat()
            piece.images[str(image)] = (stat.st_size, stat.st_mtime_ns)
    return Row(source, place, (encode(tree), tree.measure))


def _records(mixture: Mixture) -> Iterator[tuple[int, str, Record]]:
    """(source number, file:line, record) of every row."""
    for number, source in enumerate(mixture.sources):
        for row in read_rows(source.annotation, source.format):
            yield number, f"{source.annotation}:{row.line}", row.record


def _workers(config: TrainConfig) -> int:
    if config.num_workers is not None:
        return min(config.num_workers, cores())
    return min(cores(), _MOST_WORKERS) if cores() > 1 else 0


def _in_workers(
    config: TrainConfig, mixture: Mixture, opened: Opened, done: int, workers: int
) -> Iterator[Piece]:
    """The pieces from `done` on, made by processes, in order."""
    from torch.utils.data import DataLoader, IterableDataset, get_worker_info

    class Pieces(IterableDataset[Piece]):
        def __iter__(self) -> Iterator[Piece]:
            place: Any = get_worker_info()
            # Pixel tensors are not kept: they would stay in this worker.
            pixels = PixelStore(opened, budget=0)
            return _share(config, mixture, opened, pixels, done, place.id, place.num_workers)

    # A loader asks its workers in turn, so that pieces come in the order of the rows; a worker that has none left is
    # passed over. Its processes keep torch to one thread, which a fork of a process with threads needs.
    yield from DataLoader(Pieces(), batch_size=None, num_workers=workers, prefetch_factor=_PIECES_AHEAD)
