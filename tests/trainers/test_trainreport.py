"""The page of a run: made of its files, whole in itself, also for a run that stopped."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import write_lines
from trainers.curves import curves, number
from trainers.trainreport import write_report


class Page(HTMLParser):
    """Tags that are open and what is shown."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def folder(path: Path, steps: int = 30, planned: int = 30, **changed: Any) -> Path:
    path.mkdir()
    lines: list[dict[str, Any]] = [
        {
            "step": step, "loss": 2.0 - step / 50, "loss_sft": 1.1, "loss_dpo": 0.7, "loss_bco": 1.4, "delta": 0.1,
            "reward_chosen": 0.1, "reward_rejected": -0.1, "margin": 0.2, "accuracy": 0.75, "ties": 0.0,
            "logp_chosen": -1.0, "logp_rejected": -2.0, "logp_end": -0.1, "kl": 0.5, "grad_norm": 1.0,
            "learning_rate": 1e-6, "pairs": 8, "tokens": 100, "seconds": step * 61.0, "trunk_saved": 0.42,
            "pairs_per_second": 2.0, "tokens_per_second": 900.0, "eval_accuracy": 0.6,
        } | changed
        for step in range(1, steps + 1)
    ]  # fmt: skip
    write_lines(path / "train_log.jsonl", lines)
    card = {
        "config": {"stage": "mpo", "model": "some/<model>", "beta": 0.3},
        "steps": planned,
        "versions": {"torch": "2"},
    }
    (path / "train.json").write_text(json.dumps(card))
    return path


def test_the_page_shows_the_run_and_asks_for_nothing(tmp_path: Path) -> None:
    made = folder(tmp_path / "out")
    write_lines(
        made / "left_out.jsonl", [{"place": "a.jsonl:3", "reason": "has <b>no</b> token", "filtered": False}]
    )
    path = write_report(made)
    assert path is not None
    text = path.read_text()
    page = Page(text)
    assert page.open == []
    words = " ".join(page.words)
    for shown in (
        "Training: mpo of <model>",
        "30 of 30",
        "75%",
        "42%",
        "a.jsonl:3: has <b>no</b> token",
        "240",
        "0.3",
    ):
        assert shown in words
    assert "stopped" not in words
    assert sum(tag == "figure" for tag, _ in page.seen) == 14  # one for a number of another stage
    assert not any(tag in ("script", "link", "img", "iframe") for tag, _ in page.seen)
    assert not re.search(r"https?://|url\(|@import", text)


def test_a_stopped_run_says_so_and_names_its_warnings(tmp_path: Path) -> None:
    path = write_report(folder(tmp_path / "out", steps=10, planned=40, grad_norm=0.0))
    assert path is not None
    words = " ".join(Page(path.read_text()).words)
    assert "The run stopped after step 10 of 40." in words
    assert "step 3: the gradient is exactly 0" in words


def test_no_step_no_page(tmp_path: Path) -> None:
    assert write_report(tmp_path) is None


def test_a_torn_line_and_a_line_that_is_no_number(tmp_path: Path) -> None:
    made = folder(tmp_path / "out", steps=3, margin=None)
    with open(made / "train_log.jsonl", "a") as stream:
        stream.write('{"step": 4, "lo')
    path = write_report(made)
    assert path is not None
    assert "3 of 30" in path.read_text()


def test_a_curve_goes_through_its_values() -> None:
    figure = curves("Loss", [1, 2, 3], [("plain", "all", [4.0, 2.0, 3.0])])
    (points,) = re.findall(r'polyline class="line-plain" points="([^"]*)"', figure)
    xs, ys = zip(*(map(float, point.split(",")) for point in points.split()), strict=True)
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert ys[0] < ys[2] < ys[1]
    assert ys[2] == pytest.approx((ys[0] + ys[1]) / 2, abs=0.1)


def test_a_long_curve_is_short_and_keeps_its_extremes() -> None:
    values = [0.0] * 100_000
    values[70_123] = 9.0
    figure = curves("Norm", range(1, 100_001), [("plain", "norm", values)])
    assert len(figure) < 20_000
    assert ">9.00</text>" in figure


@pytest.mark.parametrize(
    ("value", "shown"), [(0.0, "0"), (1.234, "1.23"), (-12.34, "-12.3"), (456.7, "457"), (5e-6, "5.0e-06")]
)
def test_numbers_have_three_digits(value: float, shown: str) -> None:
    assert number(value) == shown
