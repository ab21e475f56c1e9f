"""Rows to measure with: MMPR pairs of about 1.7 KB as mathematics and chart questions give them.

Every row has LaTeX (backslashes, which JSON escapes) and newlines; every third one Chinese sentences, every sixth an
emoji. Words are drawn from a fixed seed, so every run on every machine measures the same bytes. Answers hold the
words that rules look for closely ("not", "image", "<", "[") as often as ordinary prose does.
"""

import random
from collections.abc import Iterator
from pathlib import Path

from prefdata.jsonl import encode_row

_SENTENCES = (
    "The image shows a right triangle with legs of length {a} and {b}, drawn to scale on a grid. ",
    "Using the Pythagorean theorem, we have $c^2 = {a}^2 + {b}^2$, so $c = \\sqrt{{{c}}}$.\n",
    "Therefore the area is $\\frac{{1}}{{2}} \\cdot {a} \\cdot {b} = {c}$ square units. ",
    "We can see from the chart that the value for {a} is not the same as the value for {b}.\n\n",
    "Let's check: if $x < {a}$ then"
    " \\[ \\int_0^{{{b}}} x^2\\,dx = \\left[ \\frac{{x^3}}{{3}} \\right]_0^{{{b}}} \\] holds. ",
    "Next, compare the two bars in the middle of the picture and read their heights off the axis: {a} and {b}. ",
    "**Step {a}**: subtract {b} from both sides, which leaves {c} on the right-hand side of the equation.\n",
    "Among the options, (A) {a}, (B) {b}, (C) {c}, only one is consistent with every condition in the question. ",
    'The label "{a} cm" belongs to the longer side; the shorter side can be found by dividing by {b}. ',
    "However, this doesn't account for the shaded region, whose area has to be subtracted first. ",
)
_CHINESE = (
    "根据图中的信息，可以看出三角形的两条直角边分别为{a}和{b}。",
    "因此面积等于{c}平方厘米，选项正确。",
    "由图可知，第{a}季度的销售额明显高于第{b}季度。",
)
_EMOJI = ("😀", "📊", "👍🏽", "🧮")


def _text(draw: random.Random, size: int, chinese: bool, emoji: bool) -> str:
    pieces: list[str] = []
    length = 0
    while length < size:
        source = _CHINESE if chinese and draw.random() < 0.3 else _SENTENCES
        a, b = draw.randrange(2, 99), draw.randrange(2, 99)
        piece = draw.choice(source).format(a=a, b=b, c=a * b)
        if piece in pieces:
            continue  # an answer that says one sentence again and again would not be clean
        pieces.append(piece)
        length += len(piece.encode())
    if emoji:
        pieces.append(draw.choice(_EMOJI))
    return "".join(pieces)


def pairs(rows: int, seed: int = 0) -> Iterator[dict[str, str]]:
    """So many clean, different pairs."""
    draw = random.Random(seed)
    for index in range(rows):
        chinese, emoji = index % 3 == 0, index % 6 == 0
        body = _text(draw, 420, chinese, emoji)
        right, wrong = draw.sample(range(10, 9999), 2)
        yield {
            "image": f"geometry/{index % 1000:03}/{index:08}.png",
            "question": f"<image>\n{_text(draw, 90, chinese, False)}What is the value of $x_{{{index}}}$?",
            "chosen": f"{body}{_text(draw, 150, chinese, emoji)}\n\nFinal answer: {right}",
            "rejected": f"{body}{_text(draw, 180, chinese, False)}\n\nFinal answer: {wrong}",
        }


def write_pairs(path: Path, rows: int, seed: int = 0) -> Path:
    """The same as a file; nothing is written when it is there already."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as stream:
            stream.writelines(encode_row(row) for row in pairs(rows, seed))
    return path
