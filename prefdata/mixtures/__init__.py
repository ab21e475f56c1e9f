"""Mixtures: several sources with exactly how many rows of each an epoch holds.

`load` takes any mixture file (or a single data file, a mixture of one); `epoch` draws; `write_meta` writes what
InternVL's loader reads, strictly. The plan, `prefdata mix write` and the trainer use the same `epoch`.
"""

from prefdata.mixtures.draw import Epoch, epoch
from prefdata.mixtures.load import load
from prefdata.mixtures.meta import write_meta
from prefdata.mixtures.model import Mixture, Source

__all__ = ["Epoch", "Mixture", "Source", "epoch", "load", "write_meta"]
