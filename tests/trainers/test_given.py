"""Model folders that would load and must not be trained: adapters, and output layers that config and file dispute."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from prefdata.errors import PrefdataError
from tests.support.forests import config
from trainers import families, given, launch


@pytest.fixture
def copied(models: dict[str, Path], tmp_path: Path) -> Callable[[str, bool, Callable[[Any], Any]], Path]:
    """A copy of a tiny model with another word on tying and other tensors."""

    def copy(kind: str, tied: bool, change: Callable[[Any], Any]) -> Path:
        folder = shutil.copytree(models[kind], tmp_path / kind)
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(settings | {"tie_word_embeddings": tied}))
        weights = folder / "model.safetensors"
        save_file(change(load_file(weights)), weights, metadata={"format": "pt"})
        return folder

    return copy


def test_a_tied_config_over_a_head_of_its_own(copied: Any) -> None:
    folder = copied("llama", True, lambda tensors: tensors)
    with pytest.raises(
        PrefdataError, match=r"ties the output layer .* but lm_head\.weight holds other values"
    ):
        families.load_weights(families.open_model(str(folder)), torch.float32)


def test_a_tied_config_over_the_same_values(copied: Any) -> None:
    folder = copied("llama", True, lambda t: t | {"lm_head.weight": t["model.embed_tokens.weight"].clone()})
    assert families.load_weights(families.open_model(str(folder)), torch.float32)


def test_an_untied_config_without_a_head(copied: Any) -> None:
    folder = copied("llama", False, lambda t: {k: v for k, v in t.items() if k != "lm_head.weight"})
    with pytest.raises(PrefdataError, match=r"not tied .* the weights lack lm_head\.weight; set tie_word"):
        families.load_weights(families.open_model(str(folder)), torch.float32)


def test_an_adapter_is_no_model(models: dict[str, Path], text_pairs: Path, tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(PrefdataError, match="is a LoRA adapter, not a model; merge it into its base model"):
        launch.launch(config(tmp_path, text_pairs))


def test_lora_tensors_between_the_weights(copied: Any) -> None:
    """As InternVL's own trainer saves them."""
    name = "language_model.base_model.model.layers.0.q_proj.lora_A.default.weight"
    folder = copied("llama", False, lambda tensors: tensors | {name: torch.zeros(2, 2)})
    with pytest.raises(PrefdataError, match=r"LoRA tensors that are not merged, such as .*lora_A\.default"):
        given.refuse_adapter("m", folder)
