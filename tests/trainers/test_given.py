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


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"model_type": "internvl_chat"}, "InternVL's original layout .* OpenGVLab/InternVL3-8B-hf"),
        (
            {"model_type": "novel"},
            "model type `novel` is code of its own .* runs no code from a model folder",
        ),
    ],
)
def test_code_beside_a_model_is_not_run_nor_asked_about(
    settings: dict[str, Any], said: str, text_pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a process is started, and by whoever opens the model alone."""
    auto = {"AutoConfig": "own.OwnConfig", "AutoModel": "own.OwnModel"}
    (tmp_path / "config.json").write_text(json.dumps(settings | {"auto_map": auto}))
    (tmp_path / "own.py").write_text("raise AssertionError('run')")
    monkeypatch.setattr("builtins.input", lambda text: pytest.fail("asked"))
    monkeypatch.setattr(launch, "_start", lambda config: pytest.fail("processes would be started"))
    with pytest.raises(PrefdataError, match=said):
        launch.launch(config(tmp_path, text_pairs, nproc=2))
    with pytest.raises(PrefdataError, match=said):
        families.open_model(str(tmp_path))


def test_a_known_model_type_needs_no_code_beside_it(models: dict[str, Path], tmp_path: Path) -> None:
    folder = shutil.copytree(models["llama"], tmp_path / "llama")
    settings = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(settings | {"auto_map": {"AutoConfig": "own.OwnConfig"}}))
    assert families.open_model(str(folder)).proven


def test_a_tokenizer_that_is_code_is_not_asked_about(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(models["llama"], tmp_path / "llama")
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    own = {"tokenizer_class": "OwnTokenizer", "auto_map": {"AutoTokenizer": ["own.OwnTokenizer", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | own))
    monkeypatch.setattr("builtins.input", lambda text: pytest.fail("asked"))
    with pytest.raises(PrefdataError, match="ask for code of their own, and this trainer runs no code"):
        families.open_model(str(folder))
