"""PD5xx: rows that repeat or contradict each other, anywhere in the whole input.

A row is a 64-bit XXH3 key and its place: 16 bytes. The two sides of a pair enter the key symmetrically and its lowest
bit says which one is chosen, so a repeated pair has the same key and a contradictory one differs in that bit alone.
Ranges are merged by joining their arrays. A false match has a chance of about n²/2⁶⁴ (one in four million at 3 million
rows).
"""

from array import array
from collections.abc import Iterator

import xxhash

from prefdata.findings import Hit
from prefdata.formats.base import Signature

_MASK = 0xFFFF_FFFF_FFFF_FFFF
# Keys are looked through in slices of this many at most, so that the dictionary stays small beside the arrays.
_SLICE = 1_000_000
_LINE_BITS = 40


def key(signature: Signature) -> int:
    """The 64-bit key of a row."""
    media, prompt, chosen, rejected = signature
    start = xxhash.xxh3_64_intdigest(f"{media}\0{prompt}".encode())
    a = xxhash.xxh3_64_intdigest(chosen.encode(), start)
    if not rejected:
        return a & ~1
    b = xxhash.xxh3_64_intdigest(rejected.encode(), start)
    return ((a + b) & _MASK & ~1) | (a < b)


class Duplicates:
    """Keys and places of the rows seen, in order."""

    def __init__(self) -> None:
        self.keys, self.places = array("Q"), array("Q")

    def add(self, signature: Signature, file: int, line: int) -> None:
        """Remember a row."""
        self.keys.append(key(signature))
        self.places.append(file << _LINE_BITS | line)

    def merge(self, other: "Duplicates") -> None:
        """Take the rows of the next range."""
        self.keys.extend(other.keys)
        self.places.extend(other.places)

    def hits(self, names: list[str]) -> Iterator[tuple[int, int, Hit]]:
        """(file, line, hit) of every row that repeats or contradicts an earlier one."""
        parts = len(self.keys) // _SLICE + 1
        found = []
        for part in range(parts):
            first: dict[int, int] = {}
            for index, number in enumerate(self.keys):
                # The slice is chosen by high bits, which a pair and its contradiction share.
                if parts > 1 and (number >> 1) % parts != part:
                    continue
                if number in first:
                    found.append((index, first[number], "PD501"))
                elif number ^ 1 in first:
                    found.append((index, first[number ^ 1], "PD502"))
                else:
                    first[number] = index
        for index, earlier, code in sorted(found):
            file, line = self._place(index)
            other, place = self._place(earlier)
            yield (
                file,
                line,
                Hit(
                    code, "", f"{'line' if other == file else names[other] + ':'} {place}".replace(": ", ":")
                ),
            )

    def _place(self, index: int) -> tuple[int, int]:
        place = self.places[index]
        return place >> _LINE_BITS, place & (1 << _LINE_BITS) - 1
