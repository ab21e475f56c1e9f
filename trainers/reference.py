"""Log-probabilities of every answer under the frozen reference: computed once per tree, before training, and kept.

Where it stands: after the model is loaded and before the first step. The reference is the model as it was given, so
the untouched policy computes it, through the same packed path; with LoRA the adapters are not there yet.

The decision to question: the cache is an append-only JSONL named by a hash of the weights, the processor and the
compute type, with one line per tree, keyed by the tree's own hash (tokens, supervised spans, images). Lines are
written row by packed row, so an interrupted pass goes on where it stopped, and another run on the same model and rows
reads instead of computing.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import torch

from prefdata.jsonl import encode_row, read_lines
from prefdata.models import model_hash
from prefdata.progress import progress
from prefdata.records import content_id
from trainers.families import Opened
from trainers.logprobs import AnswerHead, branch_sums, token_logps
from trainers.rows import RowMaker
from trainers.trees import Tree

Reference = dict[str, tuple[float, ...]]
"""Summed log-probability of each branch, by tree key."""


def reference_logps(
    model: Any,
    head: AnswerHead,
    opened: Opened,
    trees: Sequence[Tree],
    maker: RowMaker,
    folder: Path,
) -> Reference:
    """Read what the cache holds, compute the rest (each process its share) and append it as it comes."""
    name = content_id(model_hash(opened.path), str(maker.dtype), str(maker.autocast_to))
    path = folder / f"reference-{name[:16]}.jsonl"
    known = _read(path)
    keys = {id(tree): cache_key(tree) for tree in trees}
    owed = list({keys[id(tree)]: tree for tree in trees if keys[id(tree)] not in known}.values())
    if owed:
        known |= _compute(model, head, owed, maker, path)
    return {tree.key: known[keys[id(tree)]] for tree in trees}


def cache_key(tree: Tree) -> str:
    """The tree's own key plus size and age of its image files: an image that was changed is not read from the cache."""
    stats = [image.stat() for image in tree.images if isinstance(image, Path)]
    return content_id(tree.key, [(stat.st_size, stat.st_mtime_ns) for stat in stats])


@torch.no_grad()
def _compute(model: Any, head: AnswerHead, trees: list[Tree], maker: RowMaker, path: Path) -> Reference:
    """Values by cache key. Processes meet after each row, so that the first can write what all have."""
    model.eval()
    rows = maker.cut(trees)
    found: Reference = {}
    with (
        _appending(path, writes=maker.rank == 0) as append,
        progress("reference", len(trees), "trees") as bar,
    ):
        for start in range(0, len(rows), maker.processes):
            together = rows[start : start + maker.processes]
            # Without a row of its own, a process runs another's: where weights are cut, all must take part.
            mine = together[min(maker.rank, len(together) - 1)]
            fresh = _values(model, head, [trees[number] for number in mine], maker)
            if maker.processes > 1:
                shares: list[Any] = [None] * maker.processes
                torch.distributed.all_gather_object(shares, fresh)
                fresh = {key: logps for share in shares for key, logps in share.items()}
            append(fresh)
            found |= fresh
            bar.advance(sum(map(len, together)))
    return found


def _values(model: Any, head: AnswerHead, trees: list[Tree], maker: RowMaker) -> Reference:
    """One packed row through the model."""
    if not trees:
        return {}
    row = maker.make(trees)
    with maker.autocast():
        sums = iter(branch_sums(token_logps(model, head, row), row).tolist())
    return {cache_key(tree): tuple(islice(sums, len(tree.branches))) for tree in trees}


def _read(path: Path) -> Reference:
    if not path.is_file():
        return {}
    found: Reference = {}
    for _, line in read_lines(path):
        try:
            entry = msgspec.json.decode(line)
            found[entry["key"]] = tuple(entry["logps"])
        except (msgspec.DecodeError, KeyError, TypeError):
            continue  # a line torn by a kill: computed again
    return found


@contextmanager
def _appending(path: Path, *, writes: bool) -> Iterator[Callable[[Reference], None]]:
    """A function that appends values to the cache at once; it does nothing on the processes that do not write."""
    if not writes:
        yield lambda fresh: None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab", buffering=0) as stream:
        if stream.tell():
            stream.write(b"\n")  # closes a torn last line; blank lines are skipped on reading
        yield lambda fresh: _write(stream, fresh)


def _write(stream: FileIO, fresh: Reference) -> None:
    lines = b"".join(encode_row({"key": key, "logps": logps}) for key, logps in fresh.items())
    while lines:
        lines = lines[stream.write(lines) :]  # a nearly full disk takes only a part
