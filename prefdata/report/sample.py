"""Which rows the page shows when there are more than fit: those with findings first, the rest drawn at random.

Two reservoirs of one pass each; the same data and seed show the same rows. Rows with findings get at most half of the
places, so that a file full of problems still shows what its ordinary rows look like; what the ordinary ones do not fill
is theirs too.
"""

from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class Reservoir(Generic[T]):
    """A uniform sample of what was offered."""

    def __init__(self, size: int, random: Random) -> None:
        self.size, self.random = size, random
        self.items: list[tuple[int, T]] = []
        self.offered = 0

    def place(self) -> int | None:
        """Where the next item would go, None when it is not wanted: asked before the item is made."""
        self.offered += 1
        if len(self.items) < self.size:
            return len(self.items)
        place = int(self.random.random() * self.offered)
        return place if place < self.size else None

    def put(self, place: int, item: T) -> None:
        """Keep an item at the place that `place` gave."""
        kept = (self.offered, item)
        if place == len(self.items):
            self.items.append(kept)
        else:
            self.items[place] = kept


class Sample(Generic[T]):
    """Rows to show, in the order in which they came."""

    def __init__(self, limit: int, seed: int) -> None:
        self.limit, self.random = limit, Random(seed)
        self.marked: Reservoir[tuple[int, T]] = Reservoir(limit, self.random)
        self.others: Reservoir[tuple[int, T]] = Reservoir(limit, self.random)
        self.offered = 0

    def wanted(self, *, marked: bool) -> int | None:
        """The place for the next row, None when it is not wanted."""
        self.offered += 1
        return (self.marked if marked else self.others).place()

    def put(self, place: int, item: T, *, marked: bool) -> None:
        """Keep the row just asked for."""
        (self.marked if marked else self.others).put(place, (self.offered, item))

    def result(self) -> list[T]:
        """At most `limit` rows in their order."""
        marked = [item for _, item in self.marked.items]
        others = [item for _, item in self.others.items]
        most = max(1, self.limit // 2, self.limit - len(others))
        if len(marked) > most:
            marked = self.random.sample(marked, most)
        room = max(0, self.limit - len(marked))
        if len(others) > room:
            others = self.random.sample(others, room)
        return [item for _, item in sorted(marked + others, key=lambda kept: kept[0])]
