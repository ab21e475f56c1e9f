"""Closed sets of words that flags of `prefdata mix` take, apart from the code that gives them meaning.

Commands need only the words to build their help; importing the mixtures for that would cost every `prefdata --help`
the readers of all formats.
"""

from typing import Literal

Compat = Literal["internvl", "xcomposer", "xtuner"]
Form = Literal["meta", "data.txt", "xtuner", "dataset-info", "swift", "prefdata"]
