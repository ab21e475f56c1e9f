"""What the loop does around the loss: loading ahead, trackers, memory that runs out."""

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from prefdata.errors import PrefdataError
from tests.support.forests import Grove, config
from tests.trainers.test_train import log_of, train
from trainers.launch import memory_in_a_sentence
from trainers.needs import refuse_tracker
from trainers.plan import make_plan
from trainers.trainer import PlannedRows

_OF_THE_CLOCK = ("seconds", "pairs_per_second", "tokens_per_second")


def test_rows_made_ahead_train_the_same(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    logs = []
    for workers in (0, 2):
        out = tmp_path / str(workers)
        train(model=models["llava"], data=pairs, output=out, max_steps=2, max_tokens=150, num_workers=workers)
        logs.append([line | dict.fromkeys(_OF_THE_CLOCK, 0) for line in log_of(out)])
    assert logs[0] == logs[1]


def test_an_answer_without_a_reference_is_not_trained_on(grove_of: Callable[[str], Grove]) -> None:
    grove = grove_of("llama")
    plan = make_plan(
        grove.trees, lambda epoch: range(3), batch_size=3, epochs=1, max_steps=0, processes=1, max_tokens=1,
        share=True,
    )  # fmt: skip
    first = grove.trees[0]
    rows = PlannedRows(plan, grove.trees, {first.key: (-1.0, -2.0)}, grove.maker)
    numbers = [row.trees[0] for _, row in rows.rows]
    assert rows[numbers.index(0)]["reference"].tolist() == [-1, -2]
    with pytest.raises(KeyError):
        rows[numbers.index(1)]
    none = PlannedRows(plan, grove.trees, {}, grove.maker)
    assert none[numbers.index(1)]["reference"].tolist() == [0, 0]


def test_a_tracker_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainers.needs.find_spec", lambda name: None)
    with pytest.raises(PrefdataError, match="--report-to trackio: this package is not installed"):
        refuse_tracker("trackio")
    refuse_tracker("none")


def test_a_tracker_gets_every_step(
    models: dict[str, Path], text_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trainer's own callback, on a writer that keeps what it is given."""
    from transformers.integrations import integration_utils

    given: list[tuple[str, float, int]] = []

    class Writer:
        def __init__(self, log_dir: str) -> None:
            assert log_dir.startswith(str(tmp_path))

        def add_scalar(self, name: str, value: float, step: int) -> None:
            given.append((name, value, step))

        def add_text(self, *args: object) -> None: ...
        def flush(self) -> None: ...
        def close(self) -> None: ...

    board = ModuleType("torch.utils.tensorboard")
    board.SummaryWriter = Writer  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", board)
    monkeypatch.setattr(integration_utils, "is_tensorboard_available", lambda: True)
    train(model=models["llama"], data=text_pairs, output=tmp_path, max_steps=2, report_to="tensorboard")
    assert {(name, step): value for name, value, step in given if name == "train/margin"} == {
        ("train/margin", line["step"]): line["margin"] for line in log_of(tmp_path)
    }


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError(
            "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"
        ),
        MemoryError("9 GiB"),
    ],
)
def test_memory_that_runs_out_is_one_sentence(error: Exception) -> None:
    settings = config(Path("m"), Path("d"), max_tokens=4096, lora_rank=8)
    with pytest.raises(PrefdataError) as caught, memory_in_a_sentence(settings):
        raise error
    said = str(caught.value)
    assert "lower --max-tokens (now 4096), or add --gradient-checkpointing, or cut the model" in said
    assert "--lora-rank" not in said


def test_other_errors_stay_what_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes"), memory_in_a_sentence(config(Path("m"), Path("d"))):
        raise RuntimeError("shapes cannot be multiplied")


def test_memory_really_runs_out() -> None:
    with (
        pytest.raises(PrefdataError, match=r"Out of memory \(.*lower --max-tokens"),
        memory_in_a_sentence(config(Path("m"), Path("d"))),
    ):
        torch.empty(1 << 58)
