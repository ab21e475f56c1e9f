"""The compiled accept path, where it was built, and the keys by which duplicates are found.

`_rowscan.c` reads `mmpr` lines several times faster than any decoder that makes Python objects, since an accepted row
never becomes one. It is optional: without a C compiler at installation every row takes the ordinary path through
`checkfile.py`, with the same findings. The decision to question: a second reader of rows, in C. It may only accept, so
a fault in it could hide findings but not invent them, and a property test holds it to the rules.
"""

from array import array
from collections.abc import Callable
from importlib import import_module
from typing import Any

import msgspec

from prefdata.formats.base import Signature

Scanned = tuple[
    int, bytes, bytes, list[tuple[int, int, int]], list[tuple[int, str]], int, int, int, int, int, int
]
# lines, keys, places, (line, start, end) to look at, (line, reference), first line with one, then what `Lengths` counts
# Keys are looked through in slices of this many at most, so that the set stays small beside the arrays.
_SLICE = 500_000
_MASK = 0xFFFF_FFFF_FFFF_FFFF

try:
    _compiled: Any = import_module("prefdata._rowscan")
except ImportError:
    _compiled = None

# format id -> scan(block of whole lines, place of the first line, whether references are wanted)
SCANNERS: dict[str, Callable[[bytes, int, bool], Scanned]] = {"mmpr": _compiled.scan} if _compiled else {}


def key(signature: Signature) -> int:
    """The 64-bit key of a row.

    The two sides of a pair enter symmetrically and the lowest bit says which one is chosen, so a repeated pair has the
    same key and a contradictory one differs in that bit alone. Keys are comparable within one run, not between runs
    with and without the compiled part.
    """
    media, prompt, chosen, rejected = [msgspec.json.encode(text)[1:-1] for text in signature]
    if _compiled is not None:
        number: int = _compiled.key(media, prompt, chosen, rejected)
        return number
    import xxhash

    start = xxhash.xxh3_64_intdigest(prompt, xxhash.xxh3_64_intdigest(media))
    a = xxhash.xxh3_64_intdigest(chosen, start)
    if not rejected:
        return a & ~1
    b = xxhash.xxh3_64_intdigest(rejected, start)
    return ((a + b) & _MASK & ~1) | (a < b)


def repeated(keys: "array[int]") -> set[int]:
    """Halves of keys (without the lowest bit, which tells the sides apart) that occur more than once."""
    if _compiled is not None:
        return set(_compiled.repeated(keys))
    parts = len(keys) // _SLICE + 1
    found: set[int] = set()
    for part in range(parts):
        halves = [number >> 1 for number in keys if parts == 1 or (number >> 1) % parts == part]
        if len(set(halves)) < len(halves):
            seen: set[int] = set()
            for half in halves:
                if half in seen:
                    found.add(half)
                seen.add(half)
    return found
