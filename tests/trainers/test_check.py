"""The self-check at start: what it reads of the data."""

from collections.abc import Callable, Sequence
from typing import Any

from tests.support.forests import Grove
from trainers import check
from trainers.trees import Chosen


class Watched(Chosen):
    """Remembers which trees were read from disk."""

    def __init__(self, trees: Sequence[Any]) -> None:
        super().__init__(trees, range(len(trees)))
        self.read: set[int] = set()

    def __getitem__(self, number: Any) -> Any:
        self.read.add(number)
        return super().__getitem__(number)


def test_it_reads_the_trees_that_it_runs_and_no_others(grove_of: Callable[[str], Grove]) -> None:
    grove = grove_of("llama")
    trees = Watched(grove.trees)
    assert len(trees) == 10
    assert check.sharing_holds(grove.model, grove.head, trees, grove.maker, required=True)
    assert trees.read == {0, 1, 2}
