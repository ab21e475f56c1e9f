"""Numbers about preference data: lengths, shortcuts a model could learn, duplicates, scripts, images.

`Collector` takes records one at a time; `prefdata stats` and the report print what it gathered.
"""

from prefdata.stats.answers import Answer, answers_of, prompt_of
from prefdata.stats.collect import Collector

__all__ = ["Answer", "Collector", "answers_of", "prompt_of"]
