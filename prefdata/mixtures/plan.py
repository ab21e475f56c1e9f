"""What an epoch will hold, before anything is trained: `prefdata mix plan`.

The counts are those that `epoch` draws (tests prove it), from the same `share_of`. Images are exact for full copies and
for the drawn remainder of one epoch; tokens are measured on a sample of each source and scaled.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from prefdata.choices import Compat
from prefdata.mixtures.compat import active, compat_want, is_tuning
from prefdata.mixtures.counts import share_of
from prefdata.mixtures.draw import epoch, names
from prefdata.mixtures.index import Index
from prefdata.mixtures.model import Mixture, Source


class Planned(msgspec.Struct, kw_only=True):
    """One source's part of an epoch."""

    name: str
    path: str
    format: str
    have: int
    want: int
    copies: int
    remainder: int
    unique_share: float
    """Distinct rows of the epoch over the rows of the file."""
    images: int
    tokens: int | None = None
    share: float = 0.0
    """Rows of the epoch that come from here."""
    cut: str = "0"
    """What was cut off a target that is no whole number."""


class Plan(msgspec.Struct, kw_only=True):
    """The plan of one epoch."""

    sources: list[Planned]
    total: dict[str, Any]
    seed: int
    epoch: int
    compat: Compat | None = None
    batch: int = 1
    """Rows per draw of XComposer's loader."""
    notes: tuple[str, ...] = ()


def make_plan(
    mixture: Mixture,
    indexes: Sequence[Index],
    *,
    seed: int = 0,
    number: int = 0,
    compat: Compat | None = None,
    batch: int = 1,
    tokens: Callable[[Source, Index], float] | None = None,
) -> Plan:
    """Count one epoch. tokens: mean tokens of a row of the source. Raises PrefdataError for a source of nothing."""
    rows = [len(index) for index in indexes]
    sources: list[Planned] = []
    if compat is None:
        drawn = None
        images = [_images(*pair) for pair in zip(mixture.sources, indexes, strict=True)]
    else:
        drawn = epoch(mixture, seed, number, rows, compat, batch)
        images = [0] * len(rows)
        distinct: list[set[int]] = [set() for _ in rows]
        counted = drawn.counts()
        for place, row in drawn:
            images[place] += indexes[place].images[row]
            distinct[place].add(row)
    used = active(mixture, compat) if compat else [True] * len(rows)
    tuning = compat is not None and is_tuning(mixture)
    for place, (name, source, have) in enumerate(zip(names(mixture), mixture.sources, rows, strict=True)):
        if compat is None:
            share = share_of(source, have)
            want, copies, remainder = share.want, share.copies, share.remainder
            unique, cut = share.unique, share.fraction
        else:
            asked = compat_want(source, have, compat, tuning) if used[place] else 0
            want, (copies, remainder) = counted[place], divmod(asked, have)
            unique, cut = len(distinct[place]), Decimal(0)
        mean = tokens(source, indexes[place]) if tokens is not None else None
        sources.append(
            Planned(
                name=name, path=str(source.annotation), format=str(source.format), have=have, want=want,
                copies=copies, remainder=remainder, unique_share=round(unique / have, 6), images=images[place],
                tokens=round(mean * want) if mean is not None else None, cut=f"{cut.normalize():f}",
            )
        )  # fmt: skip
    whole = sum(one.want for one in sources)
    for one in sources:
        one.share = round(one.want / whole, 6)
    total: dict[str, Any] = {
        "have": sum(rows),
        "want": whole,
        "unique_share": round(sum(one.unique_share * one.have for one in sources) / sum(rows), 6),
        "images": sum(images),
        "tokens": sum(one.tokens or 0 for one in sources) if tokens is not None else None,
    }
    return Plan(
        sources=sources, total=total, seed=seed, epoch=number, compat=compat, batch=batch, notes=mixture.notes
    )


def _images(source: Source, index: Index) -> int:
    """Images of an epoch: full copies exactly, the remainder (drawn anew each epoch) by the file's mean."""
    share = share_of(source, len(index))
    return share.copies * index.header.images + round(share.remainder * index.header.images / len(index))


def table(plan: Plan) -> str:
    """The plan for people."""
    head = ["source", "have", "want", "copies", "+ rows", "unique", "share", "images"]
    with_tokens = plan.total["tokens"] is not None
    lines = [head + (["tokens"] if with_tokens else [])]
    for one in plan.sources:
        line = [
            one.name, f"{one.have:,}", f"{one.want:,}", f"{one.copies:,}", f"{one.remainder:,}",
            f"{one.unique_share:.1%}", f"{one.share:.1%}", f"{one.images:,}",
        ]  # fmt: skip
        lines.append(line + ([f"{one.tokens:,}"] if with_tokens else []))
    total = [
        "total", f"{plan.total['have']:,}", f"{plan.total['want']:,}", "", "",
        f"{plan.total['unique_share']:.1%}", "100.0%" if plan.total["want"] else "", f"{plan.total['images']:,}",
    ]  # fmt: skip
    lines.append(total + ([f"{plan.total['tokens']:,}"] if with_tokens else []))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    shown = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    shown += [
        f"{one.name}: the target is no whole number; {one.cut} of a row was cut off."
        for one in plan.sources
        if one.cut != "0"
    ]
    return "\n".join(shown)
