"""The tree: one prompt (trunk) with its images, and the answers that branch off it, as token ids.

Where it stands: made by `build.py` from records, cut into packed rows by `plan.py` and `forest.py`.
The decision to question: which token is supervised is a flag per token, set from token spans when the tree is made.
Nothing later looks at token values to find padding or answers: id 0 is an ordinary character in some vocabularies.
"""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol, overload, runtime_checkable

from prefdata.records import content_id


class BadRow(Exception):
    """Why one row cannot be trained on, without its place."""


@dataclass(frozen=True)
class Branch:
    """One answer: the tokens after the trunk up to its end-of-turn token."""

    ids: tuple[int, ...]
    supervised: tuple[bool, ...]
    liked: int = 1
    """Its weight in the generation loss: in how many pairs it is the chosen side; 1 for a conversation."""
    whole: bool = False
    """Whether its last token is input, too: a reward model scores there, log-probabilities need nothing from it."""

    @property
    def inputs(self) -> tuple[int, ...]:
        """The tokens that go into the model."""
        return self.ids if self.whole else self.ids[:-1]

    @property
    def scored(self) -> int:
        """How many tokens are supervised."""
        return sum(self.supervised)


class Measure(NamedTuple):
    """What is planned with: a tree without its tokens."""

    key: str
    question: str
    """The same for trees with the same trunk and images."""
    shared: int
    """Input tokens when the trunk runs once."""
    plain: int
    """Input tokens when every branch has its own copy of the trunk."""
    pairs: int
    answers: int
    """Answers in the generation loss."""
    tokens: int
    """Tokens in the generation loss."""
    images: int

    @property
    def units(self) -> int:
        """What `--batch-size` counts: pairs, or conversations."""
        return self.pairs or self.answers


@runtime_checkable
class Measured(Protocol):
    """Trees that are measured without being read."""

    @property
    def measures(self) -> Sequence[Measure]:
        """One for each tree, in order."""


def measured(trees: "Sequence[Tree]") -> Sequence[Measure]:
    """The measures of trees, from where they are kept if possible."""
    return trees.measures if isinstance(trees, Measured) else [tree.measure for tree in trees]


class LazyTrees(Sequence["Tree"]):
    """Trees that are read or made when they are asked for. A subclass says how many there are, and gives one."""

    @abstractmethod
    def tree(self, number: int) -> "Tree":
        """The tree of that number, from 0 on."""

    @overload
    def __getitem__(self, number: int) -> "Tree": ...
    @overload
    def __getitem__(self, number: slice) -> "list[Tree]": ...
    def __getitem__(self, number: int | slice) -> "Tree | list[Tree]":
        if isinstance(number, slice):
            return [self.tree(one) for one in range(*number.indices(len(self)))]
        if not -len(self) <= number < len(self):
            raise IndexError(number)
        return self.tree(number % len(self))


class Chosen(LazyTrees):
    """Some trees of a sequence, read when they are asked for."""

    def __init__(self, trees: "Sequence[Tree]", numbers: Sequence[int]) -> None:
        self.trees, self.numbers = trees, numbers

    @property
    def measures(self) -> Sequence[Measure]:
        """Those of the chosen trees."""
        everything = measured(self.trees)
        return [everything[number] for number in self.numbers]

    def __len__(self) -> int:
        return len(self.numbers)

    def tree(self, number: int) -> "Tree":
        """One of the chosen."""
        return self.trees[self.numbers[number]]


@dataclass(frozen=True)
class Tree:
    """One trunk with its branches. `pairs` are (chosen, rejected) branch numbers; none for plain conversations."""

    place: str
    """file:line, for messages."""
    trunk: tuple[int, ...]
    branches: tuple[Branch, ...]
    pairs: tuple[tuple[int, int], ...] = ()
    images: tuple[Path | bytes, ...] = ()
    margins: tuple[float, ...] = ()
    """How much better the chosen answer of each pair was judged to be; empty where no row says so."""

    @cached_property
    def question(self) -> str:
        """A hash of trunk and images."""
        images = [str(image) if isinstance(image, Path) else content_id(image.hex()) for image in self.images]
        return content_id(images, self.trunk)

    @cached_property
    def branch_keys(self) -> tuple[str, ...]:
        """A hash for each branch with its trunk and images, whatever stands beside it."""
        return tuple(content_id(self.question, b.ids, b.supervised, b.whole) for b in self.branches)

    @cached_property
    def key(self) -> str:
        """A content hash: equal for equal tokens and images, whatever file they came from."""
        return content_id(self.branch_keys, self.pairs)

    @cached_property
    def measure(self) -> Measure:
        """The tree in numbers."""
        return Measure(
            self.key, self.question, self.shared_tokens, self.plain_tokens, len(self.pairs), self.liked_answers,
            self.liked_tokens, len(self.images),
        )  # fmt: skip

    @property
    def shared_tokens(self) -> int:
        """Input tokens when the trunk runs once."""
        return len(self.trunk) + sum(len(branch.inputs) for branch in self.branches)

    @property
    def plain_tokens(self) -> int:
        """Input tokens when every branch has its own copy of the trunk."""
        return sum(len(self.trunk) + len(branch.inputs) for branch in self.branches)

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt + answer."""
        return len(self.trunk) + max(len(branch.ids) for branch in self.branches)

    @property
    def liked_tokens(self) -> int:
        """Tokens in the generation loss, an answer's as often as it is chosen."""
        return sum(branch.scored * branch.liked for branch in self.branches)

    @property
    def liked_answers(self) -> int:
        """Answers in the generation loss, each as often as it is chosen."""
        return sum(branch.liked for branch in self.branches)
