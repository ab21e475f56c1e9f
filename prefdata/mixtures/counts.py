"""How many rows of a source an epoch holds: exact decimal arithmetic, nothing else.

    T = count, or repeat_time x rows        floor(T / rows) full copies + the rest drawn without replacement

A T that is no whole number is rounded down and the fraction is told. A T below 1 from a positive number is an error,
never an empty source. The originals' arithmetic, defects included, is in `compat.py`.
"""

from decimal import Context, Decimal

import msgspec

from prefdata.errors import PrefdataError
from prefdata.mixtures.model import Source

# Far beyond any mixture of use; a slip of the keyboard (1e8) would fill all memory.
MOST_COPIES = 10_000
# Enough digits that no product of a written factor and a file's rows is ever rounded.
_EXACT = Context(prec=60)


class Share(msgspec.Struct, frozen=True):
    """What one epoch takes of a source of `have` rows."""

    have: int
    want: int
    copies: int
    remainder: int
    fraction: Decimal = Decimal(0)
    """What was cut off a target that is no whole number."""

    @property
    def unique(self) -> int:
        """How many distinct rows an epoch holds."""
        return self.have if self.copies else self.remainder


def share_of(source: Source, have: int) -> Share:
    """The exact share. Raises PrefdataError where nothing would be drawn."""
    if have <= 0:
        raise PrefdataError(f"source {source.name!r}: no row in {source.annotation} to draw from.")
    target = source.count if source.count is not None else _EXACT.multiply(source.repeat_time, Decimal(have))
    refuse_excess(source, target, have)
    want = int(target)
    if want <= 0:
        raise PrefdataError(
            f"source {source.name!r}: {_number(source)} of {have} rows is {target.normalize():f}, less than one row; "
            "ask for more, or take the source out."
        )
    copies, remainder = divmod(want, have)
    return Share(have, want, copies, remainder, target - want)


def refuse_excess(source: Source, target: Decimal, have: int) -> None:
    """Raises PrefdataError where an epoch would hold more copies of a source than anybody can mean."""
    if target > MOST_COPIES * have:
        written = f"count {source.count}" if source.count is not None else f"repeat_time {source.repeat_time}"
        raise PrefdataError(
            f"source {source.name!r}: {written} of {have} rows is more than {MOST_COPIES:,} copies; check the number."
        )


def factor_for(want: int, have: int, digits: int = 12) -> Decimal:
    """The shortest decimal factor of at most `digits` places that gives exactly `want` of `have` rows."""
    for places in range(digits + 1):
        step = Decimal(1).scaleb(-places)
        factor = (Decimal(want) / have).quantize(step, rounding="ROUND_CEILING", context=_EXACT)
        if int(_EXACT.multiply(factor, Decimal(have))) == want:
            return factor.normalize()
    raise PrefdataError(f"{want} of {have} rows cannot be written as a factor of {digits} places.")


def _number(source: Source) -> str:
    if source.count is not None:
        return f"count {source.as_written or source.count}"
    return f"repeat_time {source.repeat_time.normalize():f}"
