"""Held-out pairs: how they are kept out, what is counted, and that looking at them changes nothing."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from prefdata.errors import PrefdataError
from tests.support.forests import Grove, alone, config, grow
from tests.support.program import read_lines, write_lines
from trainers import families
from trainers.evaluation import Judged, hold_out, interval, summary
from trainers.grow import grow as grow_trees
from trainers.launch import environment
from trainers.pixels import PixelStore
from trainers.run import run

JUDGED = [
    Judged("a.jsonl", 2.0, 5),
    Judged("a.jsonl", -1.0, 5),
    Judged("a.jsonl", 0.0, -5),
    Judged("b.jsonl", 0.5, 0),
    Judged("b.jsonl", 0.5, -1),
]


def train(**settings: Any) -> None:
    made = config(**settings)
    with environment(made):
        run(made)


def test_what_is_counted() -> None:
    found = summary(JUDGED)
    assert found["pairs"] == 5
    assert found["accuracy"] == 0.6
    assert found["ties"] == 0.2
    assert found["length_baseline"] == 0.5  # 2 longer, 2 shorter, the equal one counts half
    assert found["mean_margin"] == 0.4
    assert found["macro_accuracy"] == pytest.approx((1 / 3 + 1) / 2, abs=1e-4)
    assert found["by_length"]["chosen_longer"] == {
        "pairs": 2, "accuracy": 0.5, "ties": 0.0, "length_baseline": 1.0,
    }  # fmt: skip
    assert found["by_length"]["chosen_shorter"]["accuracy"] == 0.5
    assert found["by_length"]["equal"]["pairs"] == 1
    assert found["sources"]["a.jsonl"]["ties"] == pytest.approx(1 / 3, abs=1e-4)
    assert summary(JUDGED[:1])["by_length"]["equal"] == {"pairs": 0}


@pytest.mark.parametrize(("wins", "pairs"), [(0, 10), (7, 10), (80, 100), (100, 100)])
def test_intervals_solve_wilsons_equation(wins: int, pairs: int) -> None:
    """A bound is the share p at which the share seen is 1.96 standard errors of p away."""
    seen = wins / pairs
    for bound in interval(wins, pairs):
        if 0 < bound < 1:
            assert abs(seen - bound) == pytest.approx(1.96 * (bound * (1 - bound) / pairs) ** 0.5, abs=2e-3)


def test_a_share_is_held_out_by_question(models: dict[str, Path], tmp_path: Path) -> None:
    """Two pairs per question: both are on one side. The same seed holds out the same, whatever the order of rows."""
    rows = [
        {"question": f"What is {n}?", "chosen": f"It is {n}, {k}.", "rejected": f"No {k}."}
        for n in range(10)
        for k in range(2)
    ]
    opened = families.open_model(str(models["llama"]))
    split = {}
    for name, order, seed in (("a", rows, 0), ("b", rows[::-1], 0), ("c", rows, 1)):
        data = write_lines(tmp_path / f"{name}.jsonl", order)
        settings = config(models["llama"], data, eval_share=0.3, seed=seed)
        grown = grow_trees(settings, opened, PixelStore(opened))
        held = hold_out(settings, grown, opened, PixelStore(opened))
        assert held is not None
        sides = [{tree.question for tree in trees} for trees in (grown.trees, held.trees)]
        assert sides[0].isdisjoint(sides[1])
        assert (len(sides[0]), len(sides[1])) == (7, 3)
        assert (len(grown.trees), len(held.trees), grown.rows) == (14, 6, [14])
        assert sorted(grown.order(0, 0)) == list(range(14))
        split[name] = sides[1]
    assert split["a"] == split["b"] != split["c"]


def test_no_source_is_held_out_whole(models: dict[str, Path], tmp_path: Path) -> None:
    sources = {"big": 9, "small": 1}
    for name, count in sources.items():
        rows = [
            {"question": f"{name} {n}?", "chosen": "Yes, it is.", "rejected": "No."} for n in range(count)
        ]
        write_lines(tmp_path / f"{name}.jsonl", rows)
    entries = {name: {"annotation": f"{name}.jsonl", "root": "", "repeat_time": 1, "length": count}
               for name, count in sources.items()}  # fmt: skip
    meta = tmp_path / "meta.json"
    meta.write_text(json.dumps(entries))
    opened = families.open_model(str(models["llama"]))
    outcomes: list[list[int] | str] = []
    for seed in range(6):
        settings = config(models["llama"], meta, tmp_path / "out", eval_share=0.5, seed=seed)
        grown = grow_trees(settings, opened, PixelStore(opened))
        try:
            hold_out(settings, grown, opened, PixelStore(opened))
            outcomes.append(grown.rows)
        except PrefdataError as error:
            outcomes.append(str(error))
    assert any("holds all 1 rows of small out" in str(outcome) for outcome in outcomes)
    assert all(outcome[1] == 1 for outcome in outcomes if isinstance(outcome, list))


def plain_margins(trained: Path, grove: Grove) -> list[float]:
    """beta x (policy - reference) of chosen minus rejected, from plain forwards of both saved models."""
    policy = families.load_weights(families.open_model(str(trained)), torch.float32)
    given = families.load_weights(grove.opened, torch.float32)
    margins = []
    with torch.no_grad():
        for tree in grove.trees:
            sums = [[logps.sum() for logps in alone(model, grove, tree)] for model in (policy, given)]
            chosen, rejected = (sums[0][side] - sums[1][side] for side in (0, 1))
            margins.append(float(0.1 * (chosen - rejected)))
    return margins


def test_implicit_rewards_are_those_of_plain_models(
    models: dict[str, Path], pairs: Path, tmp_path: Path
) -> None:
    """mpo on pictures: accuracy and margins of other pairs, and a training that does not notice."""
    lines = read_lines(pairs)
    train_on, held = tmp_path / "train.jsonl", tmp_path / "held.jsonl"
    root = str(pairs.parent)
    write_lines(train_on, lines[:6])
    write_lines(held, lines[6:])
    common: dict[str, Any] = {
        "model": models["llava"], "data": train_on, "image_root": root, "max_steps": 3, "save_dtype": "fp32",
    }  # fmt: skip
    train(output=tmp_path / "seen", eval_data=str(held), eval_steps=1, **common)
    train(output=tmp_path / "unseen", **common)
    found = json.loads((tmp_path / "seen" / "eval.json").read_text())["history"]
    assert [entry["step"] for entry in found] == [1, 2, 3]
    margins = plain_margins(tmp_path / "seen", grow(models["llava"], held, image_root=root))
    assert found[-1]["mean_margin"] == pytest.approx(sum(margins) / len(margins), abs=1e-4)
    assert found[-1]["accuracy"] == sum(margin > 1e-4 for margin in margins) / len(margins)
    seen, unseen = (read_lines(tmp_path / name / "train_log.jsonl") for name in ("seen", "unseen"))
    for one, other in zip(seen, unseen, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], abs=1e-6)
        assert one["delta"] == pytest.approx(other["delta"], abs=1e-7)
        assert "eval_accuracy" in one
        assert "eval_accuracy" not in other


def test_questions_on_both_sides_are_told(
    models: dict[str, Path], text_pairs: Path, caplog: pytest.LogCaptureFixture
) -> None:
    opened = families.open_model(str(models["llama"]))
    settings = config(models["llama"], text_pairs, eval_data=str(text_pairs), max_length_ratio=1.5)
    grown = grow_trees(settings, opened, PixelStore(opened))
    left = len(grown.trees)
    assert grown.filtered == {"max-length-ratio": 10 - left}
    assert all("filter max-length-ratio: chosen has" in reason for _, reason, _ in grown.left_out)
    with caplog.at_level("INFO", logger="prefdata"):
        import logging

        logging.getLogger("prefdata").propagate = True
        held = hold_out(settings, grown, opened, PixelStore(opened))
    assert held is not None
    assert (len(held.trees), held.also_trained) == (10, left)  # filters are for training
    assert f"{left} of 10 held-out rows ask a question of the training data" in caplog.text


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"eval_share": 0.99}, r"--eval-share 0\.99 of 10 questions leaves nothing"),
        ({"max_length_ratio": 0.5}, r"--max-length-ratio 0\.5: a ratio of lengths is 1 or more"),
        ({"min_length_gap": 3}, "--min-length-gap does nothing without"),
    ],
)
def test_settings_that_cannot_be(
    settings: dict[str, Any], reason: str, models: dict[str, Path], text_pairs: Path
) -> None:
    opened = families.open_model(str(models["llama"]))
    made = config(models["llama"], text_pairs, **settings)
    with pytest.raises(PrefdataError, match=reason):
        hold_out(made, grow_trees(made, opened, PixelStore(opened)), opened, PixelStore(opened))
