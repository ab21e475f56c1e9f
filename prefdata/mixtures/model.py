"""The mixture and its sources. Counts are exact: `repeat_time` is a Decimal, so 0.1 means a tenth."""

from decimal import Decimal
from pathlib import Path

import msgspec


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a mixture. `root` is where its image paths start; None means beside the file itself."""

    name: str
    annotation: Path
    root: Path | None = None
    repeat_time: Decimal = Decimal(1)
    length: int | None = None
    max_dynamic_patch: int | None = None
    data_augment: bool = False
    format: str | None = None


class Mixture(msgspec.Struct, frozen=True):
    """Sources in the order they were written."""

    sources: tuple[Source, ...]
