"""A finished model is not written over by a run with other settings; the same run may be done again."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from prefdata.errors import PrefdataError
from prefdata.jsonl import write_json
from trainers.claim import claim
from trainers.config import TrainConfig


def settings(folder: Path, **changed: Any) -> TrainConfig:
    return TrainConfig(
        **{"stage": "mpo", "model": "demo", "data": "p.jsonl", "output_dir": str(folder)} | changed
    )


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A folder as a run without checkpoints leaves it."""
    write_json(tmp_path / "train.json", {"config": msgspec.to_builtins(settings(tmp_path))})
    write_json(tmp_path / "config.json", {})
    return tmp_path


def test_an_empty_folder_is_free(tmp_path: Path) -> None:
    assert claim(settings(tmp_path)) is None
    assert claim(settings(tmp_path / "new")) is None


def test_the_same_run_may_be_done_again(finished: Path) -> None:
    assert claim(settings(finished)) is None
    assert claim(settings(finished, nproc=2, save_steps=5, resume=True)) is None


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"learning_rate": 1e-3}, "--learning-rate 5e-06 (now 0.001)"),
        ({"beta": 0.5, "stage": "dpo"}, "--stage mpo (now dpo), --beta 0.1 (now 0.5)"),
        ({"model": "other/model"}, "--model demo (now other/model)"),
        ({"lora_rank": 4, "resume": True}, "--lora-rank 0 (now 4)"),
    ],
)
def test_another_run_is_refused_with_the_difference_named(
    finished: Path, changed: dict[str, Any], said: str
) -> None:
    with pytest.raises(PrefdataError) as caught:
        claim(settings(finished, **changed))
    assert said in str(caught.value)


def test_what_an_unfinished_run_left_is_free(finished: Path) -> None:
    (finished / "config.json").unlink()
    assert claim(settings(finished, learning_rate=1e-3)) is None


@pytest.mark.parametrize("card", [None, "{", "{}"])
def test_a_model_of_unknown_origin_is_refused(finished: Path, card: str | None) -> None:
    (finished / "train.json").unlink()
    if card is not None:
        (finished / "train.json").write_text(card)
    with pytest.raises(PrefdataError, match="choose another --output-dir"):
        claim(settings(finished))


def test_a_checkpoint_is_gone_on_with_on_demand(finished: Path) -> None:
    for step in (9, 10):
        write_json(finished / f"checkpoint-{step}" / "prefdata.json", {})
    (finished / "checkpoint-11").mkdir()  # torn
    assert claim(settings(finished, resume=True)) == finished / "checkpoint-10"
    with pytest.raises(PrefdataError, match="checkpoint-10 of an earlier run"):
        claim(settings(finished))
