"""Two processes train what one trains: every way of cutting the model over them, stopped and gone on with or not."""

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
    "zero1": {"deepspeed": "zero1", **CUT},
    "zero3": {"deepspeed": "zero3", **CUT, **SMALL_CHUNKS},
    "zero3-lora": {"deepspeed": "zero3", **CUT, **LORA},
}
FINISHED = ("ddp", "zero1-lora", "zero3", "zero3-lora")


@pytest.fixture(scope="module")
def common(models: dict[str, Path], mixed: Path) -> dict[str, Any]:
    """What all runs share: rows with and without an image."""
    return {"model": str(models["llava"]), "data": str(mixed), "max_steps": 3, "save_dtype": "fp32"}


@pytest.fixture(scope="module")
def mixed(pairs: Path) -> Path:
    """The pairs, every other without its image."""
    rows = [json.loads(line) for line in pairs.read_text().splitlines()]
    path = pairs.with_name("mixed.jsonl")
    kept = [row if n % 2 else {k: v for k, v in row.items() if k != "image"} for n, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in kept))
    return path


@pytest.fixture(scope="module")
def runs(common: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All cases on two processes, and what they must equal on one: the plain padded path without DeepSpeed.

    `zero1` is stopped in step 3 and `zero3-killed` killed while it saves step 2; both are then gone on with.
    """
    folder = tmp_path_factory.mktemp("fleet")

    def case(name: str, of: str, **more: Any) -> dict[str, Any]:
        return common | CASES[of] | {"output": str(folder / name)} | more

    first = [case(name, name) for name in FINISHED]
    broken = case("broken", "zero3", learning_rate=1e30)
    disagreed = case("disagreed", "zero3", fault_on=1)
    stopped = case("zero1", "zero1", save_steps=1, stop_at=3)
    killed = case("zero3-killed", "zero3", save_steps=1, kill_saving=2, save_total=1)
    done = train_together(folder, [*first, disagreed, broken, stopped, killed])
    assert done.returncode != 0
    assert (folder / "zero3-killed" / "checkpoint-1" / "prefdata.json").is_file(), done.stderr[-4000:]
    again = train_together(
        folder,
        [
            case("zero1", "zero1", save_steps=1, resume=True),
            case("zero3-killed", "zero3", save_steps=1, save_total=1, resume=True),
        ],
    )
    assert again.returncode == 0, again.stderr[-4000:]
    train(**common, output=folder / "one", share=False)
    train(**common, output=folder / "one-lora", share=False, lora_rank=4)
    return folder


@pytest.mark.parametrize("case", [*FINISHED, "disagreed", "zero1", "zero3-killed"])
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


@pytest.mark.parametrize("case", FINISHED)
def test_processes_train_on_disjoint_rows_whose_union_is_the_plan(case: str, runs: Path) -> None:
    """From the rows that went through each process's model: the run is one epoch, so the plan is every row once."""
    trained: list[dict[int, list[str]]] = [{}, {}]
    for rank, steps in enumerate(trained):
        for line in (runs / case / f"trained-{rank}.jsonl").read_text().splitlines():
            step, places = json.loads(line)
            steps.setdefault(step, []).extend(places)
    for logged in log_of(runs / case):
        assert sum(len(steps[logged["step"]]) for steps in trained) == logged["pairs"]
    seen = [{place for places in steps.values() for place in places} for steps in trained]
    assert all(seen)
    assert not seen[0] & seen[1]
    lines = [int(p.rpartition(":")[2]) for steps in trained for places in steps.values() for p in places]
    assert sorted(lines) == list(range(1, 11))


def test_a_fault_that_one_process_finds_in_sharing_counts_for_all(runs: Path) -> None:
    cards = [json.loads((runs / case / "train.json").read_text()) for case in ("zero3", "disagreed")]
    assert [card["shared"] for card in cards] == [True, False]


def test_a_run_killed_while_saving_goes_on_from_the_checkpoint_before(runs: Path) -> None:
    for whole, killed in zip(log_of(runs / "zero3"), log_of(runs / "zero3-killed"), strict=True):
        assert killed["loss"] == pytest.approx(whole["loss"], abs=1e-6)
        assert killed["delta"] == pytest.approx(whole["delta"], abs=1e-9)
    left = sorted(path.name for path in (runs / "zero3-killed").glob("checkpoint-*"))
    assert left == ["checkpoint-3"]


def test_a_loss_that_is_no_number_stops_both_processes_with_the_same_rows(runs: Path) -> None:
    """The row may be on one process only; the other must not be left in a collective."""
    said = [(runs / "broken" / f"error-{rank}.txt").read_text() for rank in range(2)]
    assert said[0] == said[1]
    assert "the loss is not a finite number" in said[0]
    assert "mixed.jsonl:" in said[0]
    assert not (runs / "broken" / "model.safetensors").exists()
