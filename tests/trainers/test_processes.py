"""Two processes train what one trains: every way of cutting the model over them, losses and gradient norms alike."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.fleet import train_together
from tests.trainers.test_train import log_of, tensors, train

CUT = {"max_tokens": 150}
"""Several packed rows per step and process."""
SMALL_CHUNKS = {"chunk": 264 * 7}
"""The head takes 7 tokens at a time, so that the processes have different numbers of chunks."""
LORA = {"lora_rank": 4, "gradient_checkpointing": True}

CASES: dict[str, dict[str, Any]] = {
    "ddp": {"deepspeed": "none", **CUT},
    "zero1-lora": {"deepspeed": "zero1", **CUT, **LORA},
    "zero3": {"deepspeed": "zero3", **CUT, **SMALL_CHUNKS},
    "zero3-lora": {"deepspeed": "zero3", **CUT, **LORA},
}


@pytest.fixture(scope="module")
def runs(models: dict[str, Path], pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases on two processes, and what they must equal on one: the plain padded path without DeepSpeed."""
    folder = tmp_path_factory.mktemp("fleet")
    common = {"model": str(models["llava"]), "data": str(pairs), "max_steps": 3, "save_dtype": "fp32"}
    train_together(folder, [common | case | {"output": str(folder / name)} for name, case in CASES.items()])
    train(**common, output=folder / "one", share=False)
    train(**common, output=folder / "one-lora", share=False, lora_rank=4)
    return folder


@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one_in_every_step_and_weight(case: str, runs: Path) -> None:
    one = "one-lora" if "lora" in case else "one"
    assert json.loads((runs / case / "train.json").read_text())["rows_per_step"] > 1
    for alone, together in zip(log_of(runs / one), log_of(runs / case), strict=True):
        assert together["loss"] == pytest.approx(alone["loss"], abs=1e-5)
        assert together["grad_norm"] == pytest.approx(alone["grad_norm"], rel=1e-4)
    before, after = tensors(runs / one), tensors(runs / case)
    assert set(before) == set(after)
    # Adam divides by the square root of tiny gradients, which magnifies rounding to a share of the learning rate.
    assert max(float((before[name] - after[name]).abs().max()) for name in before) < 1e-4
