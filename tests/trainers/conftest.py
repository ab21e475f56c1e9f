"""Tiny random models and pairs, made once per session."""

import os
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
os.environ.setdefault("DS_ACCELERATOR", "cpu")

from tests.support import tiny_models


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny models by family."""
    base = tmp_path_factory.mktemp("models")
    made = {kind: tiny_models.save_text_model(base / kind, kind) for kind in ("llama", "qwen2", "qwen3")}
    return made | {"llava": tiny_models.save_llava(base / "llava")}


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 10 pairs with images."""
    return tiny_models.write_pairs(tmp_path_factory.mktemp("pairs"), 10, images=True)


@pytest.fixture(scope="session")
def text_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 10 pairs of text."""
    return tiny_models.write_pairs(tmp_path_factory.mktemp("text-pairs"), 10, images=False)
