"""The original loaders' arithmetic and draws, defects included, for A/B comparisons. Never the default.

internvl   pairs (MPO trainer): below 1 a fixed random subset of int(n*r) rows; above 1 int(r) copies (1.5 acts as 1);
           conversations (SFT trainer): below 1 the *first* int(n*r) rows; above 1 a whole number or an error
xcomposer  int(float(k)*1000) rows (32.3 gives 32299), topped up *with* replacement; of two entries of one path the
           second wins; then every draw of an epoch is with replacement and gives B (`--batch_size`) rows of one source,
           so that about 63 % of the rows are seen. Whether the source has images is decided by a fixed cycle of draws:
           for pairs (reward trainer) two with and one without, for conversations (SFT trainer) B with and B+1 without
xtuner     below 1 int(n*r) rows; above 1 int(r) copies (3.5 acts as 3)

The mixture's rows say which trainer is meant. All draw once and keep that subset for every epoch. The originals seed
nothing (or differ by rank); here the seed decides, so that two comparisons agree.
"""

from collections.abc import Iterator, Sequence
from itertools import cycle
from random import Random

from prefdata.choices import Compat
from prefdata.errors import PrefdataError
from prefdata.mixtures.counts import refuse_excess
from prefdata.mixtures.model import Mixture, Source

_IMAGE_CYCLE = (True, True, False)


def compat_want(source: Source, have: int, compat: Compat, tuning: bool = False) -> int:
    """How many rows the original takes of a source; floats on purpose. tuning: its SFT trainer is meant."""
    refuse_excess(source, source.count if source.count is not None else source.repeat_time * have, have)
    if compat == "xcomposer" and source.count is not None:
        return int(float(source.as_written) * 1000) if source.as_written else int(source.count)
    if source.count is not None:
        return int(source.count)
    factor = float(source.repeat_time)
    if compat == "xcomposer":
        return int(have * factor)
    if tuning and compat == "internvl" and factor > 1 and factor != int(factor):
        raise PrefdataError(
            f"--compat internvl: source {source.name!r}: repeat_time {source.repeat_time} of conversations; "
            "the original's SFT trainer asserts that a number above 1 is whole."
        )
    return int(have * factor) if factor < 1 else int(factor) * have


def is_tuning(mixture: Mixture) -> bool:
    """Whether the rows are conversations, which the originals' SFT trainers read, and not pairs."""
    from prefdata.formats import get

    return all(
        source.format is not None and get(source.format).kinds == ("conversation",)
        for source in mixture.sources
    )


def chosen_rows(source: Source, have: int, compat: Compat, random: Random, tuning: bool = False) -> list[int]:
    """The rows that stay for the whole run."""
    want = compat_want(source, have, compat, tuning)
    if want < have and tuning and compat == "internvl":
        return list(range(want))
    if want < have:
        return random.sample(range(have), want)
    copies, rest = divmod(want, have) if compat != "xcomposer" else (1, want - have)
    return list(range(have)) * copies + random.choices(range(have), k=rest)


def active(mixture: Mixture, compat: Compat) -> list[bool]:
    """Which sources the original uses: a path written twice is one entry there, the later one."""
    if compat != "xcomposer":
        return [True] * len(mixture.sources)
    last = {str(source.annotation): place for place, source in enumerate(mixture.sources)}
    return [last[str(source.annotation)] == place for place, source in enumerate(mixture.sources)]


def compat_rows(
    mixture: Mixture, seed: int, rows: Sequence[int], compat: Compat, batch: int = 1
) -> Iterator[tuple[int, int]]:
    """One epoch as the original would draw it. Raises PrefdataError where the original fails."""
    tuning = is_tuning(mixture)
    if compat in mixture.refused:
        raise PrefdataError(f"--compat {compat}: {mixture.refused[compat]}")
    kept: dict[int, list[int]] = {}
    for place, (source, have, used) in enumerate(
        zip(mixture.sources, rows, active(mixture, compat), strict=True)
    ):
        if used:
            kept[place] = chosen_rows(source, have, compat, Random(f"{seed}:{source.name}"), tuning)
    if compat == "xcomposer":
        turns = (True,) * batch + (False,) * (batch + 1) if tuning else _IMAGE_CYCLE
        yield from _with_replacement(mixture, kept, Random(f"{seed}:draws"), turns, batch)
        return
    order = [(place, row) for place, numbers in kept.items() for row in numbers]
    Random(f"{seed}:order").shuffle(order)
    yield from order


def _with_replacement(
    mixture: Mixture, kept: dict[int, list[int]], random: Random, turns: tuple[bool, ...], batch: int
) -> Iterator[tuple[int, int]]:
    """A group by its turn, a source by its size, then `batch` rows of it by chance, again and again."""
    empty = [place for place, numbers in kept.items() if not numbers]
    if empty:
        raise PrefdataError(
            f"--compat xcomposer: source {mixture.sources[empty[0]].name!r} gets 0 rows, on which the original fails."
        )
    groups: dict[bool, list[int]] = {}
    for place in kept:
        groups.setdefault(_starts_with_image(mixture.sources[place]), []).append(place)
    total = sum(len(numbers) for numbers in kept.values())
    for _, wants_image in zip(
        range(total // batch), cycle(turns if len(groups) == 2 else tuple(groups)), strict=False
    ):
        members = groups[wants_image]
        place = random.choices(members, weights=[len(kept[member]) for member in members])[0]
        for _ in range(batch):
            yield place, random.choice(kept[place])


def _starts_with_image(source: Source) -> bool:
    from prefdata.containers import head_rows, probe

    first = head_rows(source.annotation, probe(source.annotation).container, limit=1)
    return bool(first) and "image" in first[0]
