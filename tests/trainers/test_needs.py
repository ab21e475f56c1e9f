"""Settings that would be ignored or cannot be meant are refused, each in one sentence with its remedy."""

from pathlib import Path
from typing import Any

import pytest

from prefdata.errors import PrefdataError
from tests.support.forests import config
from trainers import needs


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"lora_alpha": 16}, "--lora-alpha 16: does nothing without adapters \\(add --lora-rank"),
        ({"lora_targets": "q_proj"}, "--lora-targets q_proj: does nothing without adapters"),
        ({"lora_vision_alpha": 4}, "--lora-vision-alpha 4: does nothing without --lora-vision-rank"),
        ({"stage": "dpo", "pooling": "mean"}, "--pooling mean: does nothing with --stage dpo, only with reward"),
        ({"stage": "dpo", "reward_token": "X"}, "--reward-token X: does nothing with --stage dpo"),
        ({"stage": "dpo", "margin_weight": 1.0}, "--margin-weight 1: does nothing with --stage dpo"),
        ({"stage": "dpo", "bco_delta": "cumulative"}, "--stage dpo, only with mpo; leave it at ema"),
        ({"stage": "sft", "dpo_loss": "ipo"}, "--dpo-loss ipo: does nothing with --stage sft"),
        ({"stage": "sft", "label_smoothing": 0.2}, "--label-smoothing 0.2: does nothing with --stage sft"),
        ({"stage": "sft", "reference_cache": "r"}, "--reference-cache r: does nothing with --stage sft"),
        ({"reference": "none", "reference_cache": "x"}, "does nothing without --reference cached"),
        ({"reference": "online", "reference_cache": "x"}, "does nothing without --reference cached"),
        ({"share": False, "require_share": True}, "--require-share: does nothing without sharing"),
        ({"compat": "trl", "bco_delta": "cumulative"}, "--bco-delta cumulative: does nothing without --compat none"),
        ({"compat": "internvl", "bco_delta": "none"}, "--bco-delta none: does nothing without --compat none"),
        ({"bco_delta": "none", "bco_decay": 0.5}, "--bco-decay 0.5: does nothing without --bco-delta ema"),
        ({"stage": "reward", "compat": "internvl"}, "--compat internvl: .* --stage reward"),
        ({"stage": "reward", "penalty_weight": 3.0}, "--penalty-weight 3: does nothing without --score-penalty"),
        ({"stage": "reward", "reward_token": "X"}, "does nothing without --pooling token"),
        ({"lora_rank": 4, "projector_learning_rate": 1e-3}, "--projector-learning-rate 0.001: does nothing"),
        ({"lora_rank": 4, "vision_learning_rate": 1e-3}, "with --lora-rank, --lora-vision-rank"),
        ({"freeze": "vision", "vision_learning_rate": 1e-3}, "without a vision part that is trained"),
        ({"length_unit": "words"}, "--length-unit words: does nothing without --max-length-ratio"),
        ({"freeze": "nose"}, "`nose` is none of vision, projector, language"),
        ({"unfreeze_vit_layers": 1}, "the whole tower is trained; add --freeze vision"),
        ({"freeze": "vision", "lora_rank": 4}, "--freeze vision: with --lora-rank everything but the"),
        ({"lora_rank": 4, "unfreeze_vit_layers": 4}, "--unfreeze-vit-layers 4: with --lora-rank everything but"),
        ({"eval_steps": 5}, "--eval-steps 5 needs --eval-data or --eval-share"),
        ({"eval_share": 0.1, "stage": "sft"}, "--stage sft prefers no answer"),
        ({"eval_share": 0.1, "eval_data": "x"}, "both name held-out pairs"),
        ({"filters": "nonsense"}, "--filters nonsense: there is no such filter"),
        ({"stage": "sft", "max_length_ratio": 2.0}, "--max-length-ratio 2: compares two answers"),
        ({"batch_size": 5, "nproc": 2}, "--batch-size 5 cannot be divided over 2 processes"),
        ({"deepspeed": "zero9"}, "--deepspeed zero9: neither"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_meant(given: dict[str, Any], said: str) -> None:
    with pytest.raises(PrefdataError, match=said):
        needs.refuse_settings(config(Path("m"), Path("d"), **given))


@pytest.mark.parametrize(
    "given",
    [
        {"lora_rank": 4, "lora_alpha": 16, "lora_targets": "q_proj"},
        {"lora_rank": 4, "lora_projector": True, "projector_learning_rate": 1e-3},
        {"freeze": "vision", "unfreeze_vit_layers": 2, "vision_learning_rate": 1e-3},
        {"compat": "internvl", "bco_delta": "cumulative"},
        {"reference": "online", "eval_share": 0.1, "reference_cache": "x"},
        {"stage": "sft", "beta": 0.1},
    ],
)
def test_settings_that_do_something(given: dict[str, Any]) -> None:
    needs.refuse_settings(config(Path("m"), Path("d"), **given))
