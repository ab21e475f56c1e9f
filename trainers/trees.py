"""The tree: one prompt (trunk) with its images, and the answers that branch off it, as token ids.

Where it stands: made by `build.py` from records, cut into packed rows by `plan.py` and `forest.py`.
The decision to question: which token is supervised is a flag per token, set from token spans when the tree is made.
Nothing later looks at token values to find padding or answers: id 0 is an ordinary character in some vocabularies.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

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
    def key(self) -> str:
        """A content hash: equal for equal tokens and images, whatever file they came from."""
        images = [str(image) if isinstance(image, Path) else content_id(image.hex()) for image in self.images]
        return content_id(images, self.trunk, [(b.ids, b.supervised) for b in self.branches], self.pairs)

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
