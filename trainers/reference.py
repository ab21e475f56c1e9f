"""Log-probabilities of every answer under the frozen reference: computed once, before training, and kept.

Where it stands: after the model is loaded and before the first step. The reference is the model as it was given, so
the untouched policy computes it, through the same packed path; with LoRA the adapters are not there yet.

The decision to question: the cache is an append-only JSONL named by a hash of the weights, the processor with its
settings, the compute type, the kernels and our own modules of a pass, with one line per answer, keyed by everything the
answer's log-probability depends on (trunk, its own tokens and supervised spans, image files with size and age). So
grouping by question, other steps and other data read what they have in common. Lines are written row by packed row: an
interrupted pass goes on where it stopped. Only the first process reads and writes the file; the others need not see its
disk.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from io import FileIO
from pathlib import Path
from typing import Any

import msgspec
import torch

from prefdata.errors import EXIT_DATA, PrefdataError
from prefdata.jsonl import encode_row, read_lines
from prefdata.progress import progress
from prefdata.records import content_id
from trainers.families import Opened
from trainers.forest import Row
from trainers.keys import pass_key
from trainers.logprobs import AnswerHead, branch_sums, token_logps
from trainers.plan import pack_rows
from trainers.rows import RowMaker
from trainers.trees import Tree, measured

Reference = dict[str, tuple[float, ...]]
"""Summed log-probability of each branch, by tree key."""


def reference_logps(
    model: Any,
    head: AnswerHead,
    opened: Opened,
    trees: Sequence[Tree],
    maker: RowMaker,
    folder: Path,
    kernels: Sequence[Any] = (),
) -> Reference:
    """Read what the cache holds, compute the rest (each process its share) and append it as it comes.

    kernels: settings that round otherwise, such as four-bit weights.
    """
    settings = (str(maker.dtype), str(maker.autocast_to), maker.device.type, kernels)
    path = folder / f"reference-{pass_key(opened, settings)[:16]}.jsonl"
    keys = [cache_keys(tree) for tree in trees]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(key for tree in keys for key in tree))}
    values = torch.full((len(numbers),), torch.nan, dtype=torch.float64)
    if maker.rank == 0:
        for key, logp in _read(path):
            if key in numbers:
                values[numbers[key]] = logp
    _from_first(values, maker)
    owed, promised = [], set[str]()
    for number, tree in enumerate(keys):
        missing = [key for key in tree if key not in promised and values[numbers[key]].isnan()]
        if missing:
            owed.append(number)
            promised.update(missing)
    if owed:
        _compute(model, head, trees, owed, keys, numbers, values, maker, path)
    known = values.tolist()
    return {
        one.key: tuple(known[numbers[key]] for key in tree)
        for one, tree in zip(measured(trees), keys, strict=True)
    }


def cache_keys(tree: Tree) -> tuple[str, ...]:
    """Its branches' keys plus size and age of its image files: an image that was changed is not read from the cache."""
    stats = [image.stat() for image in tree.images if isinstance(image, Path)]
    files = [(stat.st_size, stat.st_mtime_ns) for stat in stats]
    return tuple(content_id(key, files) for key in tree.branch_keys)


class OnlineReference:
    """The reference computed again for every row: of the policy without its adapters, or of a frozen copy.

    For data that passes once through a run and is never used again, and to compare the cache with.
    """

    def __init__(self, model: Any, head: AnswerHead, maker: RowMaker, *, adapted: Any = None) -> None:
        """model: what runs the forward. adapted: the PEFT model in it, whose adapters are then off; None = a copy.

        maker: what makes the rows; it knows the compute type, which Trainer gives to the policy's forward alone.
        """
        self.model, self.head, self.maker, self.adapted = model, head, maker, adapted
        if adapted is None:
            model.requires_grad_(False).eval()

    @torch.no_grad()
    def __call__(self, row: Row) -> torch.Tensor:
        """Summed log-probability of each branch: [branches]."""
        without = nullcontext() if self.adapted is None else self.adapted.disable_adapter()
        with without, self.maker.autocast():
            return branch_sums(token_logps(self.model, self.head, row), row)


@torch.no_grad()
def _compute(
    model: Any, head: AnswerHead, trees: Sequence[Tree], owed: Sequence[int], keys: Sequence[tuple[str, ...]],
    numbers: Mapping[str, int], values: torch.Tensor, maker: RowMaker, path: Path,
) -> None:  # fmt: skip
    """Fill in `values`. Processes meet after each row, so that the first can write what all have."""
    model.eval()
    measures = measured(trees)
    sizes = [measures[number].shared if maker.share else measures[number].plain for number in owed]
    rows = pack_rows(range(len(owed)), sizes, maker.max_tokens)
    with (
        _appending(path, writes=maker.rank == 0) as append,
        progress("reference", len(owed), "trees") as bar,
    ):
        for start in range(0, len(rows), maker.processes):
            together = [[owed[place] for place in row] for row in rows[start : start + maker.processes]]
            asked = [key for row in together for number in row for key in keys[number]]
            fresh = torch.zeros(len(asked), dtype=torch.float64)
            # Without a row of its own, a process runs another's: where weights are cut, all must take part.
            mine = together[min(maker.rank, len(together) - 1)]
            logps = _values(model, head, [trees[number] for number in mine], maker)
            if maker.rank < len(together):
                before = sum(len(keys[number]) for row in together[: maker.rank] for number in row)
                fresh[before : before + len(logps)] = logps
            _sum(fresh, maker)
            found = dict(zip(asked, fresh.tolist(), strict=True))
            append(found)
            for key, logp in found.items():
                values[numbers[key]] = logp
            bar.advance(sum(map(len, together)))


def _values(model: Any, head: AnswerHead, trees: Sequence[Tree], maker: RowMaker) -> torch.Tensor:
    """One packed row through the model: [branches] on the CPU."""
    row = maker.make(trees)
    with maker.autocast():
        sums = branch_sums(token_logps(model, head, row), row).cpu()
    if not bool(sums.isfinite().all()):
        places = ", ".join(tree.place for tree in trees[:8])
        raise PrefdataError(
            f"The reference gives no finite log-probability in the rows {places}; look at these rows, or whether the "
            "model computes in fp32 (--dtype fp32).",
            exit_code=EXIT_DATA,
        )
    return sums


def _from_first(values: torch.Tensor, maker: RowMaker) -> None:
    """Give all processes what the first one has."""
    if maker.processes > 1:
        held = values.to(maker.device)
        torch.distributed.broadcast(held, src=0)
        values.copy_(held)


def _sum(values: torch.Tensor, maker: RowMaker) -> None:
    """Sum over processes, in place."""
    if maker.processes > 1:
        held = values.to(maker.device)
        torch.distributed.all_reduce(held)
        values.copy_(held)


def _read(path: Path) -> Iterator[tuple[str, float]]:
    if not path.is_file():
        return
    for _, line in read_lines(path):
        try:
            entry = msgspec.json.decode(line)
            yield entry["key"], float(entry["logp"])
        except (msgspec.DecodeError, KeyError, TypeError):
            continue  # a line torn by a kill: computed again


@contextmanager
def _appending(path: Path, *, writes: bool) -> Iterator[Callable[[Mapping[str, float]], None]]:
    """A function that appends values to the cache at once; it does nothing on the processes that do not write."""
    if not writes:
        yield lambda fresh: None
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "ab", buffering=0) as stream:
        if stream.tell():
            stream.write(b"\n")  # closes a torn last line; blank lines are skipped on reading
        yield lambda fresh: _write(stream, fresh)


def _write(stream: FileIO, fresh: Mapping[str, float]) -> None:
    lines = b"".join(encode_row({"key": key, "logp": logp}) for key, logp in fresh.items())
    while lines:
        lines = lines[stream.write(lines) :]  # a nearly full disk takes only a part
