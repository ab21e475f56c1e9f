"""Scenes of the demo: sampled from a seed, rendered to a 64x64 picture.

First step of the demo's road: everything else (questions, answers, judging) is derived from a `Scene`. A scene is
4x4 cells with two to six shapes, one to a cell. In half of the scenes one colour or form dominates, because with
independent draws almost every count would be 0 or 1 and counting would never have to be learned.

Same seed, same scene, same pixels: each use of randomness has its own stream, so a change in the rendering noise
does not change which shapes there are.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

COLOURS: Final = ("red", "green", "blue", "yellow")
FORMS: Final = ("circle", "square", "triangle")
KINDS: Final = tuple(f"{colour}-{form}" for colour in COLOURS for form in FORMS)
CELLS: Final = tuple(f"{row}{column}" for row in "abcd" for column in "1234")
"""Cell names in raster order: the letter is the row from the top, the digit the column from the left."""

SIDE: Final = 64
CELL_SIDE: Final = 16
MIN_SHAPES, MAX_SHAPES = 2, 6

# Small shapes are the hard-to-see ones: two clearly separate ranges of radius, so that "hard to see" is a fact of
# the picture and not a matter of a pixel more or less.
SMALL_SHARE: Final = 0.25
SMALL_RADIUS: Final = (3.6, 4.3)
BIG_RADIUS: Final = (5.6, 6.8)
POSITION_JITTER: Final = 2.0
COLOUR_JITTER: Final = 25
BACKGROUND: Final = (15, 70)
PIXEL_NOISE: Final = 8
DOMINANT_SHARE: Final = 0.5

_RGB: Final = {"red": (215, 50, 45), "green": (50, 185, 70), "blue": (60, 90, 225), "yellow": (225, 205, 55)}
_SAMPLE_STREAM, _RENDER_STREAM = 1, 2


@dataclass(frozen=True, slots=True)
class Shape:
    """One shape: `cell` indexes `CELLS`; `dx`, `dy` and `radius` are in pixels, relative to the cell's middle."""

    cell: int
    colour: str
    form: str
    radius: float
    dx: float
    dy: float

    @property
    def kind(self) -> str:
        """Colour and form as one word, as answers write it: `red-circle`."""
        return f"{self.colour}-{self.form}"

    @property
    def small(self) -> bool:
        """Whether this is one of the hard-to-see shapes."""
        return self.radius <= SMALL_RADIUS[1]


@dataclass(frozen=True, slots=True)
class Scene:
    """What there is to see. `shapes` are in raster order; `seed` is the seed it came from."""

    seed: int
    shapes: tuple[Shape, ...]

    @property
    def items(self) -> tuple[tuple[str, str], ...]:
        """`(cell name, kind)` of each shape in raster order: the complete and correct list."""
        return tuple((CELLS[shape.cell], shape.kind) for shape in self.shapes)

    def count(self, colour: str | None = None, form: str | None = None) -> int:
        """How many shapes have this colour and form; None stands for any."""
        return sum(colour in (None, shape.colour) and form in (None, shape.form) for shape in self.shapes)


def sample_scene(seed: int) -> Scene:
    """The scene of this seed (a non-negative integer)."""
    rng = np.random.default_rng((seed, _SAMPLE_STREAM))
    number = int(rng.integers(MIN_SHAPES, MAX_SHAPES + 1))
    cells = sorted(int(cell) for cell in rng.choice(len(CELLS), size=number, replace=False))
    dominant_colour = dominant_form = None
    if rng.random() < 0.5:
        if rng.random() < 0.5:
            dominant_colour = COLOURS[rng.integers(len(COLOURS))]
        else:
            dominant_form = FORMS[rng.integers(len(FORMS))]
    return Scene(seed, tuple(_sample_shape(rng, cell, dominant_colour, dominant_form) for cell in cells))


def _sample_shape(
    rng: np.random.Generator, cell: int, dominant_colour: str | None, dominant_form: str | None
) -> Shape:
    colour = COLOURS[rng.integers(len(COLOURS))]
    form = FORMS[rng.integers(len(FORMS))]
    if rng.random() < DOMINANT_SHARE:
        colour, form = dominant_colour or colour, dominant_form or form
    radius = rng.uniform(*(SMALL_RADIUS if rng.random() < SMALL_SHARE else BIG_RADIUS))
    dx, dy = rng.uniform(-POSITION_JITTER, POSITION_JITTER, size=2)
    return Shape(cell, colour, form, float(radius), float(dx), float(dy))


def render(scene: Scene) -> "Image":
    """The scene as a 64x64 RGB picture; the same scene always gives the same pixels."""
    import PIL.Image
    import PIL.ImageDraw

    rng = np.random.default_rng((scene.seed, _RENDER_STREAM))
    background = int(rng.integers(BACKGROUND[0], BACKGROUND[1] + 1))
    picture = PIL.Image.new("RGB", (SIDE, SIDE), (background, background, background))
    draw = PIL.ImageDraw.Draw(picture)
    for shape in scene.shapes:
        row, column = divmod(shape.cell, SIDE // CELL_SIDE)
        x = (column + 0.5) * CELL_SIDE + shape.dx
        y = (row + 0.5) * CELL_SIDE + shape.dy
        jitter = rng.integers(-COLOUR_JITTER, COLOUR_JITTER + 1, size=3)
        red, green, blue = (int(v) for v in np.clip(np.array(_RGB[shape.colour]) + jitter, 0, 255))
        _draw_shape(draw, shape.form, x, y, shape.radius, (red, green, blue))
    noise = rng.integers(-PIXEL_NOISE, PIXEL_NOISE + 1, size=(SIDE, SIDE, 3))
    pixels = np.clip(np.asarray(picture, dtype=np.int16) + noise, 0, 255).astype(np.uint8)
    return PIL.Image.fromarray(pixels)


def _draw_shape(
    draw: "ImageDraw", form: str, x: float, y: float, radius: float, rgb: tuple[int, int, int]
) -> None:
    if form == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=rgb)
    elif form == "square":
        half = 0.88 * radius  # about the area of the circle, so that size says nothing about form
        draw.rectangle((x - half, y - half, x + half, y + half), fill=rgb)
    else:
        draw.polygon(
            ((x, y - radius), (x - 0.95 * radius, y + 0.75 * radius), (x + 0.95 * radius, y + 0.75 * radius)),
            fill=rgb,
        )
