"""Hashes of models and templates: the same content is the same model wherever it lies, another content another one."""

import json
import struct
from pathlib import Path

import pytest

from pipelines.engines.identity import model_hash, template_hash

LARGE = 6 * 1024 * 1024


def model(folder: Path, *, weights: bytes = b"w" * LARGE, vocabulary: str = "{}") -> Path:
    folder.mkdir()
    header = json.dumps(
        {"w": {"dtype": "U8", "shape": [len(weights)], "data_offsets": [0, len(weights)]}}
    ).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(header)) + header + weights)
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").write_text(vocabulary)
    return folder


def test_a_copy_is_the_same_model(tmp_path: Path) -> None:
    first, second = model(tmp_path / "a"), model(tmp_path / "b")
    (second / "README.md").write_text("a card changes nothing")
    (second / "trainer_state.json").write_text("{}")
    assert model_hash(str(first)) == model_hash(str(second))


@pytest.mark.parametrize(
    "change",
    [
        {"weights": b"v" * LARGE},
        {"weights": b"w" * (LARGE + 1)},
        {"weights": b"w" * (LARGE - 1) + b"v"},
        {"vocabulary": '{"a": 1}'},
    ],
)
def test_a_change_is_another_model(tmp_path: Path, change: dict[str, object]) -> None:
    assert model_hash(str(model(tmp_path / "a"))) != model_hash(str(model(tmp_path / "b", **change)))  # type: ignore[arg-type]


def test_a_hub_name_without_files_counts_by_its_name() -> None:
    assert model_hash("nobody/nothing") == model_hash("nobody/nothing")
    assert model_hash("nobody/nothing") != model_hash("nobody/else")


def test_templates_differ_by_their_text() -> None:
    assert template_hash("{{ a }}") != template_hash("{{ b }}")
