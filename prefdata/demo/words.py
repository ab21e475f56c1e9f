"""The demo model's closed vocabulary: every token it can read or write, in the order of its id.

`examples/demo_model` builds the tokenizer from this list and `tasks` writes only text made of it. A leading blank
belongs to the token, so joining tokens gives the text back exactly. There is deliberately no byte fallback: a model
this small, sampled at temperature 1, would pick tokens that it never saw in training.
"""

from typing import Final

from prefdata.demo.scenes import CELLS, COLOURS, FORMS, KINDS, MAX_SHAPES

PAD, EOS, UNK = "<pad>", "</s>", "<unk>"
USER, ASSISTANT, IMAGE = "<user>", "<assistant>", "<image>"
SPECIAL: Final = (PAD, EOS, UNK, USER, ASSISTANT, IMAGE)

_QUESTION_WORDS: Final = (
    *("How", " many", " are", " there", "?", "Is", " a", "Are", " at", " least", " shape", " shapes"),
    *("Describe", " the", " picture", "List", " all", "What", " is", " in"),
)
_ANSWER_WORDS: Final = ("Seen:", ",", ".", "\n\nFinal", " answer:", " yes", " no")

WORDS: Final = (
    *_QUESTION_WORDS,
    *_ANSWER_WORDS,
    *(f" {number}" for number in range(MAX_SHAPES + 1)),
    *(f" {colour}" for colour in COLOURS),
    *(f" {form}{ending}" for form in FORMS for ending in ("", "s")),
    *(f" {cell}" for cell in CELLS),
    *(f" {kind}" for kind in KINDS),
)
VOCABULARY: Final = (*SPECIAL, *WORDS)
