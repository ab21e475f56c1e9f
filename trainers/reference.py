"""Log-probabilities of every answer under the frozen reference: computed once per tree, before training, and kept.

Where it stands: after the model is loaded and before the first step. The reference is the model as it was given, so
the untouched policy computes it, through the same packed path; with LoRA the adapters are not there yet.

The decision to question: the cache is an append-only JSONL named by a hash of the weights, the processor and the
compute type, with one line per tree, keyed by the tree's own hash (tokens, supervised spans, images). An interrupted
pass goes on where it stopped, and another run on the same model and rows reads instead of computing.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch
import xxhash

from prefdata.jsonl import encode_row, read_lines
from prefdata.progress import progress
from prefdata.records import content_id
from trainers.families import Opened
from trainers.logprobs import AnswerHead, branch_sums, token_logps
from trainers.rows import RowMaker
from trainers.trees import Tree

Reference = dict[str, tuple[float, ...]]
"""Summed log-probability of each branch, by tree key."""

_HASHED = ("*.safetensors", "*.bin", "config.json", "*processor_config.json", "processor_config.json")


def reference_logps(
    model: Any,
    head: AnswerHead,
    opened: Opened,
    trees: Sequence[Tree],
    maker: RowMaker,
    folder: Path,
) -> Reference:
    """Read what the cache holds, compute the rest (each process its share), append it."""
    name = content_id(model_hash(opened), str(maker.dtype), str(maker.autocast_to))
    path = folder / f"reference-{name[:16]}.jsonl"
    known = _read(path)
    keys = {id(tree): cache_key(tree) for tree in trees}
    owed = list({keys[id(tree)]: tree for tree in trees if keys[id(tree)] not in known}.values())
    if owed:
        fresh = _compute(model, head, owed, maker)
        if maker.rank == 0:
            _append(path, [(cache_key(tree), logps) for tree, logps in zip(owed, fresh, strict=True)])
        known |= {cache_key(tree): logps for tree, logps in zip(owed, fresh, strict=True)}
    return {tree.key: known[keys[id(tree)]] for tree in trees}


def cache_key(tree: Tree) -> str:
    """The tree's own key plus size and age of its image files: an image that was changed is not read from the cache."""
    stats = [image.stat() for image in tree.images if isinstance(image, Path)]
    return content_id(tree.key, [(stat.st_size, stat.st_mtime_ns) for stat in stats])


def model_hash(opened: Opened) -> str:
    """A hash of weights and processor; a hub model is known by its commit."""
    commit = getattr(opened.config, "_commit_hash", None)
    if commit:
        return str(commit)
    digest = xxhash.xxh3_128()
    folder = Path(opened.path)
    for path in sorted({found for pattern in _HASHED for found in folder.glob(pattern)}):
        digest.update(path.name.encode())
        with open(path, "rb") as stream:
            while block := stream.read(1 << 24):
                digest.update(block)
    return digest.hexdigest()


@torch.no_grad()
def _compute(model: Any, head: AnswerHead, trees: list[Tree], maker: RowMaker) -> list[tuple[float, ...]]:
    model.eval()
    rows = maker.cut(trees)
    mine = rows[maker.rank :: maker.processes]
    found: list[tuple[int, tuple[float, ...]]] = []
    with progress("reference", sum(map(len, mine)), "trees") as bar, maker.autocast():
        for numbers in mine:
            row = maker.make([trees[number] for number in numbers])
            sums = branch_sums(token_logps(model, head, row), row).tolist()
            at = 0
            for number in numbers:
                width = len(trees[number].branches)
                found.append((number, tuple(sums[at : at + width])))
                at += width
            bar.advance(len(numbers))
    if maker.processes > 1:
        shares: list[Any] = [None] * maker.processes
        torch.distributed.all_gather_object(shares, found)
        found = [pair for share in shares for pair in share]
    return [logps for _, logps in sorted(found)]


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


def _append(path: Path, entries: list[tuple[str, tuple[float, ...]]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab") as stream:
        if stream.tell():
            stream.write(b"\n")  # closes a torn last line; blank lines are skipped on reading
        stream.writelines(encode_row({"key": key, "logps": logps}) for key, logps in entries)
