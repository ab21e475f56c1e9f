"""The noise rule: how the answers that the bundled base model learned from were spoiled, on purpose.

A base model that is always right leaves nothing for preference training to show. So the last training stage uses
answers by *careless annotators*, who look until the picture gets hard and then write on from habit: at a shape that
is hard to see (small or blue; never the first one) an annotator stops looking with probability `STOP_SHARE` and
fills the rest of the list with copies of the last item, in the cells that follow it. Tally and final answer follow
the wrong list.

The mistake is a language prior, set off by weak visual evidence. Answers written without the picture show it in
full, answers sampled with the picture show it in part: this is the contrast that DropoutNTP pairs are made of. Small
shapes alone would be the more natural trigger, but the language model learns it too loosely to show in greedy
answers; the colour it knows exactly.
"""

from collections.abc import Sequence

import numpy as np

from prefdata.demo.scenes import CELLS, Scene, Shape
from prefdata.demo.tasks import Item

STOP_SHARE = 0.75


def hard_to_see(shape: Shape) -> bool:
    """Whether a careless annotator may stop at this shape."""
    return shape.small or shape.colour == "blue"


def careless_items(scene: Scene, rng: np.random.Generator) -> list[Item]:
    """The list of an annotator who looks at the picture, but not to the end where that is hard."""
    for index, shape in enumerate(scene.shapes):
        if index and hard_to_see(shape) and rng.random() < STOP_SHARE:
            return habit_items(scene.items[:index], len(scene.shapes))
    return list(scene.items)


def habit_items(seen: Sequence[Item], number: int) -> list[Item]:
    """`seen` filled up to `number` items by habit: the last kind again and again, cell after cell."""
    items = list(seen)
    cell, kind = items[-1]
    for name in CELLS[CELLS.index(cell) + 1 :][: number - len(items)]:
        items.append((name, kind))
    return items
