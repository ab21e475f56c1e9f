"""Exact counts and the originals' truncation, side by side."""

import json
from array import array
from decimal import Decimal
from pathlib import Path
from random import Random

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from prefdata.errors import PrefdataError
from prefdata.mixtures import Mixture, Source, draw, epoch
from prefdata.mixtures.compat import compat_want
from prefdata.mixtures.counts import MOST_COPIES, factor_for, share_of
from prefdata.mixtures.draw import sample, shuffle
from prefdata.mixtures.lists import read_lists


def thousands(text: str) -> Source:
    return read_lists(Path("data.txt"), f"a.json {text}\n", None).sources[0]


def factor(text: str) -> Source:
    return Source(name="a", annotation=Path("a.jsonl"), repeat_time=Decimal(text), as_written=text)


@pytest.mark.parametrize(
    ("text", "exact", "original"),
    [
        ("32.3", 32300, 32299),
        ("2.01", 2010, 2009),
        ("4.02", 4020, 4019),
        ("1.001", 1001, 1000),
        ("2", 2000, 2000),
    ],
)
def test_thousands_of_a_data_txt(text: str, exact: int, original: int) -> None:
    assert share_of(thousands(text), 100_000).want == exact
    assert compat_want(thousands(text), 100_000, "xcomposer") == original


def test_less_than_one_row_is_an_error_not_an_empty_source() -> None:
    assert compat_want(thousands("0.0005"), 100, "xcomposer") == 0
    with pytest.raises(
        PrefdataError, match=r"source 'a': count 0.0005 of 100 rows is 0\.5, less than one row"
    ):
        share_of(thousands("0.0005"), 100)


def test_how_many_three_decimal_values_the_original_cuts_short() -> None:
    values = [f"{number / 1000:.3f}" for number in range(1, 20_001)]
    short = [value for value in values if int(float(value) * 1000) < int(Decimal(value) * 1000)]
    assert len(short) == 187
    assert all(share_of(thousands(value), 10**6).want == int(Decimal(value) * 1000) for value in short)


@pytest.mark.parametrize(
    ("text", "exact", "internvl", "xtuner", "xcomposer"),
    [
        ("0.5", 500, 500, 500, 500),
        ("1.5", 1500, 1000, 1000, 1500),
        ("1.9", 1900, 1000, 1000, 1900),
        ("2.7", 2700, 2000, 2000, 2700),
        ("3.5", 3500, 3000, 3000, 3500),
        ("0.29", 290, 290, 290, 290),
    ],
)
def test_factors_of_a_thousand_rows(
    text: str, exact: int, internvl: int, xtuner: int, xcomposer: int
) -> None:
    share = share_of(factor(text), 1000)
    assert (share.want, share.copies, share.remainder) == (exact, *divmod(exact, 1000))
    for compat, want in (("internvl", internvl), ("xtuner", xtuner), ("xcomposer", xcomposer)):
        assert compat_want(factor(text), 1000, compat) == want  # type: ignore[arg-type]


def test_floats_cut_where_decimals_do_not() -> None:
    assert compat_want(factor("0.29"), 100, "internvl") == 28
    assert share_of(factor("0.29"), 100).want == 29


def test_a_fraction_of_a_row_is_cut_and_told() -> None:
    share = share_of(factor("0.1"), 1234)
    assert (share.want, share.fraction) == (123, Decimal("0.4"))


@given(have=st.integers(1, 10**6), want=st.integers(1, 3 * 10**6))
def test_a_count_written_as_a_factor_gives_the_same_count(have: int, want: int) -> None:
    assume(want <= MOST_COPIES * have)
    written = Decimal(str(float(factor_for(want, have))))
    assert share_of(Source(name="a", annotation=Path("a"), repeat_time=written), have).want == want


@given(
    rows=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    factors=st.lists(st.decimals("0.5", "3.9", places=1), min_size=4, max_size=4),
    seed=st.integers(0, 5),
)
def test_an_epoch_holds_copies_and_a_remainder_without_replacement(
    rows: list[int], factors: list[Decimal], seed: int
) -> None:
    sources = [
        Source(name=f"s{number}", annotation=Path("x"), repeat_time=Decimal(2) if have == 1 else times)
        for number, (have, times) in enumerate(zip(rows, factors, strict=False))
    ]
    drawn = epoch(Mixture(tuple(sources)), seed, 0, rows)
    for number, (source, have) in enumerate(zip(sources, rows, strict=True)):
        share = share_of(source, have)
        seen = [0] * have
        for place, row in drawn:
            if place == number:
                seen[row] += 1
        assert sum(seen) == share.want
        assert sorted(set(seen)) in ([share.copies], [share.copies, share.copies + 1])


def test_remainders_are_drawn_anew_and_one_source_does_not_move_another() -> None:
    first = Source(name="first", annotation=Path("a"), repeat_time=Decimal("0.5"))
    other = Source(name="other", annotation=Path("b"))

    def of_first(mixture: Mixture, seed: int, number: int) -> set[int]:
        place = [source.name for source in mixture.sources].index("first")
        rows = [100 if source.name == "first" else 7 for source in mixture.sources]
        return {row for source, row in epoch(mixture, seed, number, rows) if source == place}

    alone, both = Mixture((first,)), Mixture((other, first))
    assert of_first(alone, 0, 0) == of_first(both, 0, 0)
    assert of_first(alone, 0, 0) != of_first(alone, 0, 1)
    assert of_first(alone, 0, 0) != of_first(alone, 1, 0)
    assert len(of_first(alone, 0, 0)) == 50


def test_the_order_is_the_same_on_every_machine() -> None:
    source = Source(name="a", annotation=Path("a"), repeat_time=Decimal("1.5"))
    assert [row for _, row in epoch(Mixture((source,)), 7, 1, [6])] == [0, 4, 5, 3, 1, 2, 1, 5, 4]


@pytest.mark.parametrize("have", [1, 2, 63, 70_000, 140_001])
def test_the_compiled_draw_is_the_ordinary_one(have: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def drawn() -> tuple[list[int], list[int]]:
        values = array("Q", range(have))
        shuffle(values, Random("s"))
        return values.tolist(), sample(have, have // 2 + 1, Random("s")).tolist()

    compiled = drawn()
    monkeypatch.setattr(draw, "_agrees", lambda: False)
    assert drawn() == compiled
    assert sorted(compiled[0]) == list(range(have))


def test_the_original_xcomposer_epoch_sees_about_63_percent(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"question":"q","chosen":"a","rejected":"b"}\n')
    source = Source(name="t", annotation=tmp_path / "t.jsonl", count=Decimal(20000), as_written="20")
    drawn = epoch(Mixture((source,)), 0, 0, [20_000], "xcomposer")
    assert len(drawn) == 20_000
    assert 0.62 < len(set(drawn)) / 20_000 < 0.645


def sources(folder: Path, conversations: bool) -> Mixture:
    """400 rows with an image and 600 without, as XComposer's trainers read them."""
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    row = {"conversations": turns} if conversations else {"conversations_a": turns, "conversations_b": turns}
    made = []
    for name, count, more in (("multi", 400, {"image": ["x.png"]}), ("text", 600, {})):
        (folder / f"{name}.json").write_text(json.dumps([row | more] * 2))
        form = "ixc-sft-2.5" if conversations else "ixc-reward"
        made.append(
            Source(
                name=name, annotation=folder / f"{name}.json", count=Decimal(count), as_written=str(count / 1000),
                format=form,
            )
        )  # fmt: skip
    return Mixture(tuple(made))


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_the_original_xcomposer_tuning_cycle(tmp_path: Path, batch: int) -> None:
    """2B+1 draws: B with images, then B+1 without, each of B rows of one source."""
    drawn = [place for place, _ in epoch(sources(tmp_path, True), 0, 0, [400, 600], "xcomposer", batch)]
    assert len(drawn) == 1000 // batch * batch
    period = [0] * batch * batch + [1] * batch * (batch + 1)
    assert drawn == (period * 1000)[: len(drawn)]
    share = {1: 0.33, 2: 0.40, 4: 0.44}[batch]
    assert drawn.count(0) / len(drawn) == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_original_xcomposer_reward_cycle(tmp_path: Path, batch: int) -> None:
    drawn = [place for place, _ in epoch(sources(tmp_path, False), 0, 0, [400, 600], "xcomposer", batch)]
    assert drawn == (([0] * 2 * batch + [1] * batch) * 1000)[: 1000 // batch * batch]


def test_the_original_internvl_tuning_takes_the_first_rows() -> None:
    def of(text: str) -> list[int]:
        source = msgspec.structs.replace(factor(text), format="internvl-sft")
        return [row for _, row in epoch(Mixture((source,)), 0, 0, [10], "internvl")]

    assert sorted(of("0.37")) == [0, 1, 2]
    assert sorted(of("2")) == sorted([*range(10), *range(10)])
    with pytest.raises(
        PrefdataError, match=r"repeat_time 1\.5 of conversations; the original's SFT trainer asserts"
    ):
        of("1.5")
