"""All rows of a run as trees: read from the data, or from a cache of an earlier run on the same data and model.

Where it stands: `run.py` calls it after the model's processor is open and before its weights are read; `build.py` makes
single trees, `treestore.py` keeps them on disk. Bad rows end the run with file and line, or are left out, counted and
named with `--on-bad-row skip`.

The decision to question: trees always go through the disk. They are then read one by one when they are trained on, so
memory does not grow with the data, and every later start on the same data reads them instead of tokenising: with
images, that saves opening each one. Of several processes on a machine one tokenises and the others wait for its file.
"""

import fcntl
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.jsonl import write_jsonl
from prefdata.mixtures import Mixture, epoch, load
from prefdata.progress import progress, say
from trainers import keys
from trainers.config import TrainConfig
from trainers.families import Opened
from trainers.pixels import PixelStore
from trainers.sowing import pieces
from trainers.trees import Tree
from trainers.treestore import TreeStore, writing

LEFT_OUT = "left_out.jsonl"


class LeftOut(NamedTuple):
    """A row that is not trained on."""

    place: str
    """file:line"""
    reason: str
    filtered: bool = False
    """Whether a filter left it out; otherwise it cannot be trained on."""


@dataclass
class Grown:
    """All trees of a run, source after source, each row once; and what was noticed on the way."""

    mixture: Mixture
    trees: Sequence[Tree] = ()
    rows: list[int] = field(default_factory=list)
    """Usable rows by source."""
    left_out: list[LeftOut] = field(default_factory=list)
    ends_added: int = 0
    """Answers whose template writes no end-of-turn token, so that one was appended."""
    filtered: dict[str, int] = field(default_factory=dict)
    """Rows that a filter left out, by its name; `left_out` names them."""

    def order(self, seed: int, number: int) -> list[int]:
        """Tree numbers of one epoch: exactly the rows that `prefdata mix plan` counts and `mix write` writes."""
        starts = [0, *accumulate(self.rows)]
        return [starts[source] + row for source, row in epoch(self.mixture, seed, number, self.rows)]

    def write_left_out(self, folder: Path) -> None:
        """List the rows that are not trained on, with their reasons; without any, no such file stays."""
        path = folder / LEFT_OUT
        if self.left_out:
            write_jsonl(path, (row._asdict() for row in self.left_out))
        else:
            path.unlink(missing_ok=True)


def grow(config: TrainConfig, opened: Opened, pixels: PixelStore) -> Grown:
    """Trees of the data in the mixture's order. How often each is used is left to the plan."""
    root = Path(config.image_root) if config.image_root else None
    mixture = load(Path(config.data), root)
    folder = Path(config.tree_cache or config.output_dir)
    path = folder / f"trees-{keys.trees_key(opened, mixture, _settings(config))[:16]}.cache"
    with _alone(path):
        grown = _kept(path, mixture)
        if grown is None:
            _tokenise(config, mixture, opened, pixels, path)
            grown = _kept(path, mixture)
            assert grown is not None, f"{path} was written a moment ago"
        else:
            say(f"trees: {len(grown.trees)} read from {path}")
    bad = next((row for row in grown.left_out if not row.filtered), None)
    if bad is not None and config.on_bad_row == "fail":
        raise _bad_row(bad)
    if not grown.trees:
        names = [f"{row.place}: {row.reason}" for row in grown.left_out[:1]]
        first = "".join(f" ({len(grown.left_out)} rows were left out, the first: {name})" for name in names)
        raise PrefdataError(f"{config.data}: no row to train on{first}.", exit_code=EXIT_DATA)
    return grown


def _settings(config: TrainConfig) -> list[Any]:
    """Settings that decide which rows become which trees. Data, model and paths count apart."""
    return [
        config.stage == "sft", config.max_length, config.filters, config.max_length_ratio, config.max_chosen_ratio,
        config.min_length_gap, config.length_unit, config.video_frames,
    ]  # fmt: skip


def _tokenise(config: TrainConfig, mixture: Mixture, opened: Opened, pixels: PixelStore, path: Path) -> None:
    rows = [0] * len(mixture.sources)
    left_out: list[LeftOut] = []
    ends_added = 0
    filtered = Counter[str]()
    images: dict[str, tuple[int, int]] = {}
    with progress("trees", unit="rows") as bar, writing(path) as writer:
        for piece in pieces(config, mixture, opened, pixels):
            for row in piece.rows:
                if row.made is not None:
                    writer.add(*row.made)
                    rows[row.source] += 1
                    continue
                left_out.append(LeftOut(row.place, row.reason, row.filtered))
                if config.on_bad_row == "fail" and not row.filtered:
                    raise _bad_row(left_out[-1])
            filtered += piece.filtered
            images.update(piece.images)
            ends_added += piece.ends_added
            bar.advance(len(piece.rows))
            if piece.failure:
                raise PrefdataError(piece.failure, exit_code=EXIT_DATA)
        writer.finish(
            {
                "rows": rows,
                "left_out": left_out,
                "ends_added": ends_added,
                "filtered": filtered,
                "images": images,
            }
        )


def _kept(path: Path, mixture: Mixture) -> Grown | None:
    """What a cache holds, if it is whole and its images are what they were."""
    if not path.is_file():
        return None
    try:
        store = TreeStore(path)
    except ValueError as error:
        say(f"{path}: {error}; tokenising again")
        return None
    about = store.about
    for name, then in about["images"].items():
        try:
            now = Path(name).stat()
        except OSError:
            now = None
        if now is None or [now.st_size, now.st_mtime_ns] != list(then):
            say(f"{path}: image {name} has changed since; tokenising again")
            return None
    left_out = [LeftOut(*row) for row in about["left_out"]]
    return Grown(mixture, store, about["rows"], left_out, about["ends_added"], about["filtered"])


def _bad_row(row: LeftOut) -> PrefdataError:
    hint = "mend the row, or leave such rows out with --on-bad-row skip"
    return PrefdataError(f"{row.place}: {row.reason}; {hint}.", exit_code=EXIT_DATA)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock beside `path`, so that of several processes on one machine only one makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path.with_name(f".{path.stem}.lock"), "wb") as stream:
        with suppress(OSError):  # a file system without locks: each makes its own, and the last one stays
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
