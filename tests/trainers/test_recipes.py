"""Every recipe against the published tables, and one through two steps."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from prefdata.cli.config import build, read_config
from prefdata.errors import PrefdataError
from tests.support.program import prefdata
from trainers import needs, recipe
from trainers.config import TrainConfig

MPO = "cosine 0.03 0.05 0.999"
IXC = "cosine 0.01 0.1 0.95"

TABLE = {
    # name: stage, batch, learning rate, longest, DeepSpeed, "schedule, warm-up, decay, beta2"
    "internvl2-mpo-8b": ("mpo", 256, 5e-6, 6144, "zero1", MPO),
    "internvl2.5-mpo-8b": ("mpo", 256, 1e-6, 8192, "zero1", MPO),
    "internvl2.5-mpo-26b": ("mpo", 256, 1e-6, 8192, "zero3", MPO),
    "internvl2.5-mpo-38b": ("mpo", 512, 1e-6, 8192, "zero3", MPO),
    "internvl2.5-mpo-78b": ("mpo", 512, 1e-6, 8192, "zero3", MPO),
    "internvl3-mpo-2b": ("mpo", 256, 2e-7, 12288, "zero1", MPO),
    "internvl3-mpo-8b": ("mpo", 256, 2e-7, 12288, "zero3", MPO),
    "internvl3-mpo-78b": ("mpo", 512, 2e-7, 8192, "zero3-offload", MPO),
    "ixc2.5-reward": ("reward", 256, 1e-5, 8192, "zero2", IXC),
    "ixc2.5-reward-lora": ("reward", 256, 1e-5, 8192, "zero2", IXC),
    "xcomposer2-sft": ("sft", 64, 1e-5, 4096, "zero2", IXC),
    "xcomposer2-sft-lora": ("sft", 64, 5e-5, 4096, "zero2", IXC),
    "xcomposer2.5-sft": ("sft", 128, 1e-5, 16384, "zero2", IXC),
    "xcomposer2.5-sft-lora": ("sft", 128, 5e-5, 16384, "zero2", IXC),
    "xtuner-internvl1.5-2b": ("sft", 128, 1e-6, 8192, "zero1", "cosine 0.03 0.05 0.999"),
    "xtuner-internvl1.5-2b-lora": ("sft", 128, 1e-6, 8192, "zero1", "cosine 0.03 0.05 0.999"),
    "xtuner-internvl1.5-2b-qlora": ("sft", 128, 1e-6, 8192, "zero1", "cosine 0.03 0.05 0.999"),
    "xtuner-internvl1.5-26b": ("sft", 64, 1e-6, 4096, "zero3", "cosine 0.03 0.01 0.999"),
    "xtuner-internvl1.5-26b-lora": ("sft", 64, 1e-6, 4096, "zero3", "cosine 0.03 0.01 0.999"),
    "xtuner-internvl1.5-26b-qlora": ("sft", 64, 1e-6, 4096, "zero1", "cosine 0.03 0.01 0.999"),
}
LORA = {
    "ixc2.5-reward-lora": (512, 64),
    "xcomposer2-sft-lora": (64, 64),
    "xcomposer2.5-sft-lora": (64, 64),
} | {f"xtuner-internvl1.5-{size}-{kind}": (128, 256) for size in ("2b", "26b") for kind in ("lora", "qlora")}
FROZEN = {
    "ixc2.5-reward": "vision projector",
    "xtuner-internvl1.5-2b": "vision",
    "xtuner-internvl1.5-26b": "vision",
}


def settings(name: str) -> TrainConfig:
    read = read_config(recipe.path(name), TrainConfig)
    return build(TrainConfig, read | {"model": "demo", "data": "d", "output_dir": "o"}, {})


def test_the_table_is_complete() -> None:
    assert recipe.names() == sorted(TABLE)


@pytest.mark.parametrize("name", TABLE)
def test_the_numbers_are_the_published_ones(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    made = settings(name)
    stage, batch, rate, longest, deepspeed, schedule = TABLE[name]
    assert (made.stage, made.batch_size, made.learning_rate) == (stage, batch, rate)
    assert (made.max_length, made.max_tokens, made.deepspeed) == (longest, longest, deepspeed)
    assert f"{made.schedule} {made.warmup} {made.weight_decay} {made.adam_beta2}" == schedule
    assert (made.lora_rank, made.lora_alpha) == LORA.get(name, (0, 0))
    assert made.lora_dropout == (0.05 if name in LORA else 0.0)
    assert made.freeze == FROZEN.get(name, "")
    assert made.load_in_4bit == name.endswith("qlora")
    assert made.lora_projector == (name in LORA and name.startswith("xtuner"))
    if stage == "mpo":
        assert (made.dpo_weight, made.bco_weight, made.sft_weight, made.beta) == (0.8, 0.2, 1.0, 0.1)
        assert made.bco_delta == "cumulative"
    monkeypatch.setattr(needs, "find_spec", lambda package: needs)
    needs.refuse_settings(made)


@pytest.mark.parametrize("name", TABLE)
def test_every_number_has_its_origin(name: str) -> None:
    for line in Path(recipe.path(name)).read_text().splitlines():
        if line and not line.startswith(("#", "stage:")):
            assert "  # " in line, line


def test_a_recipe_trains_below_file_and_flags(models: dict[str, Path], pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("batch-size: 6\nlearning-rate: 0.001\ndtype: fp32\n")
    done = prefdata(
        *("train", "--recipe", "internvl2.5-mpo-8b", "--config", "mine.yaml", "--model", models["llava"]),
        *("--data", pairs, "--output-dir", "out", "--batch-size", 4, "--max-steps", 2, "--deepspeed", "none"),
        *("--num-workers", 0),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    used = json.loads((tmp_path / "out" / "train.json").read_text())["config"]
    assert used["batch_size"] == 4
    assert used["learning_rate"] == 0.001
    assert used["max_length"] == 8192
    assert used["gradient_checkpointing"] is True
    assert used["recipe"] == "internvl2.5-mpo-8b"


def test_recipes_are_listed_and_unknown_ones_refused(tmp_path: Path) -> None:
    listed = prefdata("train", "--recipe", "list", cwd=tmp_path)
    assert listed.returncode == 0
    assert [line.split()[0] for line in listed.stdout.splitlines()] == recipe.names()
    with pytest.raises(PrefdataError, match="--recipe best: no such recipe"):
        recipe.path("best")


@pytest.mark.parametrize(
    ("name", "more", "warned"),
    [
        ("internvl3-mpo-8b", {"lora_rank": 4}, True),
        ("internvl3-mpo-8b", {"lora_rank": 4, "learning_rate": 1e-4}, False),
        ("internvl3-mpo-8b", {}, False),
        ("ixc2.5-reward-lora", {"lora_rank": 64}, False),
    ],
)
def test_adapters_at_the_rate_of_a_full_training_are_warned_of(
    name: str, more: dict[str, Any], warned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(needs, "say", said.append)
    needs.warn_of_rate(msgspec.structs.replace(settings(name), recipe=name, **more))
    expected = f"warning: --learning-rate 2e-07 is that of --recipe {name}, which trains all parameters"
    assert [line.startswith(expected) for line in said] == [True] * warned
