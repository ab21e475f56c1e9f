"""A user's DeepSpeed file: flags decide, transformers' own comparison agrees, fp16 is refused."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from prefdata.errors import PrefdataError
from tests.support.forests import config
from trainers import needs, zerofile

NUMBERS: dict[str, Any] = {
    "train_batch_size": 7, "train_micro_batch_size_per_gpu": 3, "gradient_accumulation_steps": 5,
    "gradient_clipping": 0.3, "bf16": {"enabled": True}, "zero_optimization": {"stage": 2},
}  # fmt: skip


def written(folder: Path, settings: dict[str, Any]) -> str:
    (folder / "mine.json").write_text(json.dumps(settings))
    return str(folder / "mine.json")


def test_trainer_finds_nothing_to_object_to(tmp_path: Path) -> None:
    from transformers import TrainingArguments
    from transformers.integrations.deepspeed import HfTrainerDeepSpeedConfig

    settings, said = zerofile.read(written(tmp_path, NUMBERS))
    assert settings is not None
    assert "gradient_clipping 0.3 (see --max-grad-norm)" in said
    args = TrainingArguments(str(tmp_path), gradient_accumulation_steps=2, use_cpu=True, report_to=[])
    theirs: Any = HfTrainerDeepSpeedConfig(settings)
    theirs.trainer_config_process(args)
    theirs.trainer_config_finalize(args, SimpleNamespace(config=SimpleNamespace(hidden_size=8)), 10)
    assert theirs.config["gradient_accumulation_steps"] == 2
    assert theirs.config["bf16"]["enabled"] is False
    assert theirs.config["zero_optimization"] == {"stage": 2}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"fp16": {"enabled": True}}, "has fp16 enabled"),
        ({"bf16": True}, "`bf16` is no block"),
        ({"scheduler": {}}, "has its own `scheduler`"),
        ({"zero_optimization": {"stage": 3}}, "four-bit weights cannot be cut"),
    ],
)
def test_what_cannot_be_trained_with_is_told_at_once(
    settings: dict[str, Any], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(needs, "find_spec", lambda name: needs)
    given = config(
        Path("m"), Path("d"), deepspeed=written(tmp_path, settings), lora_rank=4, load_in_4bit=True
    )
    with pytest.raises(PrefdataError, match=said):
        needs.refuse_settings(given)
