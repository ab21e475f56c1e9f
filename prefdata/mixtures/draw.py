"""The rows of an epoch, in order: the one drawing that the plan counts, `mix write` writes and the trainer trains on.

What is drawn of a source depends on (seed, source name, epoch) alone, the order on (seed, epoch): any process on any
machine works out the same epoch without talking to another. Full copies hold every row; the remainder is a sample
without replacement, drawn anew each epoch. The decision to question: shuffles and samples are written out here on top
of `Random.random()`, the one method whose values Python promises never to change between versions. The compiled part
makes the same numbers of the generator's bytes, and is used only where it does.
"""

import functools
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from importlib import import_module
from random import Random
from typing import Any

from prefdata.choices import Compat
from prefdata.errors import PrefdataError
from prefdata.mixtures.compat import compat_rows
from prefdata.mixtures.counts import share_of
from prefdata.mixtures.model import Mixture

# Rows are kept as source << SHIFT | row: eight bytes each, so an epoch of millions fits in little memory.
SHIFT = 40
MASK = (1 << SHIFT) - 1
# Numbers drawn at a time by the compiled part.
_STEPS = 1 << 16

try:
    _compiled: Any = import_module("prefdata._order")
except ImportError:
    _compiled = None


class Epoch(Sequence[tuple[int, int]]):
    """(source number, row number from 0) of every row of one epoch, in training order."""

    def __init__(self, packed: "array[int]") -> None:
        self.packed = packed

    def __len__(self) -> int:
        return len(self.packed)

    def __getitem__(self, place):  # type: ignore[no-untyped-def]
        if isinstance(place, slice):
            return [(code >> SHIFT, code & MASK) for code in self.packed[place]]
        code = self.packed[place]
        return code >> SHIFT, code & MASK

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for code in self.packed:
            yield code >> SHIFT, code & MASK

    def counts(self) -> Counter[int]:
        """Rows by source."""
        return Counter(code >> SHIFT for code in self.packed)


def epoch(
    mixture: Mixture,
    seed: int,
    number: int,
    rows: Sequence[int],
    compat: Compat | None = None,
    batch: int = 1,
) -> Epoch:
    """Epoch `number` (from 0) of a mixture whose sources have `rows` usable rows.

    compat: draw as an original loader; batch: rows per draw of XComposer's.
    Rows that are left out for a reason (filters, unreadable rows) are left out before: `rows` counts what can be drawn.
    Raises PrefdataError where a source gives nothing.
    """
    if len(rows) != len(mixture.sources):
        raise PrefdataError(f"{len(mixture.sources)} sources but {len(rows)} row counts were given.")
    if compat is not None:
        return Epoch(_pack(compat_rows(mixture, seed, rows, compat, batch)))
    packed = array("Q")
    for place, (name, source, have) in enumerate(zip(names(mixture), mixture.sources, rows, strict=True)):
        share = share_of(source, have)
        base = place << SHIFT
        for _ in range(share.copies):
            packed.extend(range(base, base + have))
        if share.remainder:
            packed.extend(
                base + row for row in sample(have, share.remainder, Random(f"{seed}:{name}:{number}"))
            )
    shuffle(packed, Random(f"{seed}:{number}"))
    return Epoch(packed)


def names(mixture: Mixture) -> list[str]:
    """Names that tell the sources apart: the same name twice draws twice, independently."""
    seen: Counter[str] = Counter()
    unique = []
    for source in mixture.sources:
        seen[source.name] += 1
        unique.append(source.name if seen[source.name] == 1 else f"{source.name}#{seen[source.name]}")
    return unique


def sample(have: int, count: int, random: Random) -> "array[int]":
    """`count` distinct numbers below `have`, in random order: the front of a shuffle."""
    pool = array("Q", range(have))
    if _agrees():
        for place in range(0, count, _STEPS):
            _compiled.exchange(pool, random.randbytes(8 * min(_STEPS, count - place)), place, True)
        return pool[:count]
    draw = random.random
    for place in range(count):
        other = place + int(draw() * (have - place))
        pool[place], pool[other] = pool[other], pool[place]
    return pool[:count]


def shuffle(values: "array[int]", random: Random) -> None:
    """Fisher and Yates, in place."""
    if _agrees():
        for place in range(len(values) - 1, 0, -_STEPS):
            _compiled.exchange(values, random.randbytes(8 * min(_STEPS, place)), place, False)
        return
    draw = random.random
    for place in range(len(values) - 1, 0, -1):
        other = int(draw() * (place + 1))
        values[place], values[other] = values[other], values[place]


@functools.cache
def _agrees() -> bool:
    """Whether the compiled part is there and draws from this Python's generator as `Random.random()` does."""
    if _compiled is None:
        return False
    one, other, drawn = array("Q", range(64)), array("Q", range(64)), Random(1).random
    _compiled.exchange(one, Random(1).randbytes(8 * 63), 63, False)
    for place in range(63, 0, -1):
        at = int(drawn() * (place + 1))
        other[place], other[at] = other[at], other[place]
    return one == other


def _pack(rows: Iterator[tuple[int, int]]) -> "array[int]":
    return array("Q", (source << SHIFT | row for source, row in rows))
