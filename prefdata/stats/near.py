"""Rows that say almost the same as an earlier row: MinHash of word triples, found by locality-sensitive hashing.

The decision to question: similarity is of the whole row (prompt and answers), so several answers to one question are no
near-duplicates unless the answers are alike too.
"""

from typing import Any

from prefdata.errors import PrefdataError

THRESHOLD = 0.8
# With 16 bands of 8, rows of similarity 0.8 meet with probability 0.95; candidates are then verified.
_PERMUTATIONS, _BANDS = 128, 16
_SHINGLE = 3
# About 700 bytes a row; beyond this many the count is of the first rows, and `passed_over` says of how many it is not.
MAX_ROWS = 500_000


def available() -> bool:
    """Whether the library is installed."""
    try:
        import rensa  # noqa: F401
    except ImportError:
        return False
    return True


class NearDuplicates:
    """Counts rows that resemble an earlier one."""

    def __init__(self) -> None:
        if not available():
            raise PrefdataError("near-duplicates need the package rensa: pip install 'prefdata[near]'.")
        import rensa

        self._make = rensa.RMinHash
        self._lsh = rensa.RMinHashLSH(threshold=THRESHOLD, num_perm=_PERMUTATIONS, num_bands=_BANDS)
        self._kept: list[Any] = []
        self.found = self.passed_over = 0
        self.pairs: list[tuple[int, int]] = []

    def add(self, text: str, line: int = 0) -> None:
        """Take one row's text in."""
        if len(self._kept) >= MAX_ROWS:
            self.passed_over += 1
            return
        words = text.lower().split()
        # Writing without spaces is cut into letters, or every such row would be one word.
        pieces = words if len(words) * 12 >= len(text) else list(text.replace(" ", ""))
        shingles = {" ".join(pieces[at : at + _SHINGLE]) for at in range(max(1, len(pieces) - _SHINGLE + 1))}
        sketch = self._make(num_perm=_PERMUTATIONS, seed=1)
        sketch.update(sorted(shingles))
        for key in sorted(self._lsh.query(sketch)):
            if self._kept[key][0].jaccard(sketch) >= THRESHOLD:
                self.found += 1
                if len(self.pairs) < 20:
                    self.pairs.append((self._kept[key][1], line))
                break
        self._lsh.insert(len(self._kept), sketch)
        self._kept.append((sketch, line))
