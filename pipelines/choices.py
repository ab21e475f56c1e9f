"""Closed sets of words that flags take, apart from the code that gives them meaning.

Commands need only the words to build their help; importing the prompts or the splitters for that would cost every
`prefdata --help` their compiled patterns.
"""

from typing import Literal

PromptVersion = Literal[
    "en", "zh", "en_v2", "zh_v2", "en_r1", "zh_r1", "en_background", "en_visual", "en_grounded", "plain"
]  # fmt: skip
SplitUnit = Literal["token", "word", "sentence", "char"]
