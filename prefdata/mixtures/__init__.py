"""Mixtures: several sources with how often each is used.

`load` takes a `meta.json` or any single data file; `write_meta` writes what InternVL's loader reads, strictly.
"""

from prefdata.mixtures.load import load
from prefdata.mixtures.meta import write_meta
from prefdata.mixtures.model import Mixture, Source

__all__ = ["Mixture", "Source", "load", "write_meta"]
