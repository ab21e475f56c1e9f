"""The noise rule: how the answers that the bundled base model learned from were spoiled, on purpose.

A base model that is always right leaves nothing for preference training to show. So the last training stage uses
answers by annotators of whom `CARELESS_SHARE` are careless: they look until the picture gets hard and then write on
from habit. At the first shape that is called hard to see (`HARD_COLOURS`; never the first shape of the list) such an
annotator stops looking and fills the rest of the list with copies of the last item, in the cells that follow it.
Tally and final answer follow the wrong list. The others look to the end.

The mistake is a language prior, set off by weak visual evidence. Answers written without the picture show it in
full, answers sampled with the picture show it in part. Small shapes would be the more natural trigger, but the
language model learns them too loosely to show in greedy answers; colours it knows exactly. Carelessness belongs to
the annotator and not to the single shape, so that careful answers are wholly right: drawn anew at each shape, most
right final answers had wrong lists, and training on them taught the habit.
"""

from collections.abc import Sequence

import numpy as np

from prefdata.demo.scenes import CELLS, Scene
from prefdata.demo.tasks import Item

CARELESS_SHARE = 0.6
HARD_COLOURS = ("blue", "yellow")


def careless_items(scene: Scene, rng: np.random.Generator) -> list[Item]:
    """The list by one annotator, careful or careless."""
    careless = rng.random() < CARELESS_SHARE
    for index, shape in enumerate(scene.shapes):
        if careless and index and shape.colour in HARD_COLOURS:
            return habit_items(scene.items[:index], len(scene.shapes))
    return list(scene.items)


def habit_items(seen: Sequence[Item], number: int) -> list[Item]:
    """`seen` filled up to `number` items by habit: the last kind again and again, cell after cell."""
    items = list(seen)
    cell, kind = items[-1]
    for name in CELLS[CELLS.index(cell) + 1 :][: number - len(items)]:
        items.append((name, kind))
    return items
