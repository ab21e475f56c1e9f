"""The mixture and its sources. Counts are exact: factors are Decimals, so 0.1 means a tenth."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One file of a mixture. `root` is where its image paths start; None means beside the file itself.

    How much of it an epoch holds is `count` rows where that is given, else `repeat_time` times its rows.
    `as_written` is the number as it stood in the file, for the arithmetic of the original loaders.
    """

    name: str
    annotation: Path
    root: Path | None = None
    repeat_time: Decimal = Decimal(1)
    count: Decimal | None = None
    length: int | None = None
    max_dynamic_patch: int | None = None
    data_augment: bool = False
    licence: str | None = None
    format: str | None = None
    as_written: str | None = None
    extra: dict[str, Any] = {}


class Mixture(msgspec.Struct, frozen=True):
    """Sources in the order they were written.

    kind: the id of the file format it was read from. refused: by original loader, why it would not read this file.
    """

    sources: tuple[Source, ...]
    kind: str = "meta"
    notes: tuple[str, ...] = ()
    refused: dict[str, str] = {}
