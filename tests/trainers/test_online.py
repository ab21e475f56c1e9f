"""The reference asked in every step gives the run that the cached one gives; none is another, known objective."""

from pathlib import Path
from typing import Any

import pytest

from prefdata.errors import PrefdataError
from tests.support.forests import config
from tests.trainers.test_train import log_of, train
from trainers import needs


@pytest.mark.parametrize("more", [{}, {"lora_rank": 4}], ids=["copy", "adapters-off"])
def test_online_equals_cached(
    more: dict[str, Any], models: dict[str, Path], pairs: Path, tmp_path: Path
) -> None:
    for way in ("cached", "online"):
        train(
            model=models["llava"], data=pairs, output=tmp_path / way, max_steps=2, max_tokens=150, reference=way,
            **more,
        )  # fmt: skip
    for cached, online in zip(log_of(tmp_path / "cached"), log_of(tmp_path / "online"), strict=True):
        assert online["loss"] == pytest.approx(cached["loss"], abs=2e-6)
        assert online["grad_norm"] == pytest.approx(cached["grad_norm"], rel=1e-5)
    assert not list((tmp_path / "online").glob("reference-*"))


@pytest.mark.parametrize("more", [{}, {"lora_rank": 4}], ids=["copy", "adapters-off"])
def test_rewards_start_at_nothing_in_bf16(
    more: dict[str, Any], models: dict[str, Path], text_pairs: Path, tmp_path: Path
) -> None:
    """The policy computes in bf16 over fp32 weights, and so must the reference."""
    train(
        model=models["llama"], data=text_pairs, output=tmp_path, max_steps=1, reference="online", dtype="bf16",
        beta=1.0, **more,
    )  # fmt: skip
    (line,) = log_of(tmp_path)
    assert line["reward_chosen"] == pytest.approx(0, abs=1e-6)
    assert line["kl"] == pytest.approx(0, abs=1e-9)


def test_without_a_reference_rewards_are_log_probabilities(
    models: dict[str, Path], text_pairs: Path, tmp_path: Path
) -> None:
    train(model=models["llama"], data=text_pairs, output=tmp_path, max_steps=1, reference="none", beta=0.5)
    (line,) = log_of(tmp_path)
    mean_length = line["tokens"] / line["pairs"]
    assert line["reward_chosen"] == pytest.approx(0.5 * line["logp_chosen"] * mean_length, rel=1e-5)


def test_a_stage_without_reference_takes_no_flag() -> None:
    with pytest.raises(PrefdataError, match="--reference online: does nothing with --stage sft"):
        needs.refuse_settings(config(Path("m"), Path("d"), stage="sft", reference="online"))
