"""Hashes of models: the same content is the same model wherever it lies, another content another one."""

import json
import struct
from pathlib import Path

import pytest

from prefdata import models
from prefdata.models import model_hash

TENSORS = 3
SIZE = 100_000


def model(
    folder: Path, weights: bytes = b"w" * TENSORS * SIZE, *, kind: str = "safetensors", vocabulary: str = "{}"
) -> Path:
    folder.mkdir()
    each = len(weights) // TENSORS
    header = json.dumps(
        {
            f"t{n}": {"dtype": "U8", "shape": [each], "data_offsets": [n * each, (n + 1) * each]}
            for n in range(TENSORS)
        }
    ).encode()
    (folder / f"model.{kind}").write_bytes(struct.pack("<Q", len(header)) + header + weights)
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text(vocabulary)
    return folder


@pytest.fixture(params=["whole", "in pieces"], autouse=True)
def reading(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files are read whole, large ones in pieces."""
    if request.param == "in pieces":
        monkeypatch.setattr(models, "_READ_WHOLE", 1000)


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
def test_a_copy_is_the_same_model(kind: str, tmp_path: Path) -> None:
    first, second = (model(tmp_path / name, kind=kind) for name in "ab")
    (second / "README.md").write_text("a card changes nothing")
    (second / "train.json").write_text("{}")
    assert model_hash(str(first)) == model_hash(str(second))


@pytest.mark.parametrize("kind", ["safetensors", "bin"])
@pytest.mark.parametrize("trained", range(TENSORS))
def test_one_trained_tensor_is_another_model(kind: str, trained: int, tmp_path: Path) -> None:
    weights = b"".join((b"v" if n == trained else b"w") * SIZE for n in range(TENSORS))
    first, second = model(tmp_path / "a", kind=kind), model(tmp_path / "b", weights, kind=kind)
    assert model_hash(str(first)) != model_hash(str(second))


def test_another_size_or_vocabulary_is_another_model(tmp_path: Path) -> None:
    first = model_hash(str(model(tmp_path / "a")))
    assert first != model_hash(str(model(tmp_path / "b", b"w" * TENSORS * (SIZE + 1))))
    assert first != model_hash(str(model(tmp_path / "c", vocabulary='{"a": 1}')))


def test_a_hub_name_without_files_counts_by_its_name() -> None:
    assert model_hash("nobody/nothing") == model_hash("nobody/nothing")
    assert model_hash("nobody/nothing") != model_hash("nobody/else")
