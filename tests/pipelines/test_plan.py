"""How models are spread over GPUs, by their configs and weight files alone."""

import json
from pathlib import Path

import pytest

from pipelines.plan import GIB, Gpu, plan, shape_of
from prefdata.errors import PrefdataError


def model(
    folder: Path, gib: float, heads: int = 64, kv_heads: int = 8, layers: int = 80, nested: bool = False
) -> str:
    text = {
        "num_attention_heads": heads, "num_key_value_heads": kv_heads, "num_hidden_layers": layers,
        "hidden_size": heads * 128, "max_position_embeddings": 32768,
    }  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"text_config": text} if nested else text))
    for part in range(2):
        with open(folder / f"model-{part}.safetensors", "wb") as stream:
            stream.truncate(int(gib / 2 * GIB))  # a file with nothing in it takes no room on the disk
    return str(folder)


def machine(count: int, gib: float = 80) -> list[Gpu]:
    return [Gpu("test", int(gib * GIB), int(gib * GIB))] * count


@pytest.mark.parametrize(
    ("gib", "heads", "gpus", "tp", "replicas"),
    [
        (16, 32, 8, 1, 8),  # 8 B parameters in 16 bits
        (76, 64, 8, 2, 4),
        (145, 64, 8, 4, 2),  # two would hold the weights and no cache
        (145, 64, 4, 4, 1),
        (16, 32, 1, 1, 1),
        (145, 48, 6, 3, 2),  # 48 heads: three is allowed where it fits
    ],
)
def test_the_smallest_size_that_holds_weights_and_cache(
    tmp_path: Path, gib: float, heads: int, gpus: int, tp: int, replicas: int
) -> None:
    made = plan(shape_of(model(tmp_path / "m", gib, heads=heads)), machine(gpus))
    assert (made.tp, made.replicas) == (tp, replicas)
    assert made.needed_per_gpu <= 0.9 * 80 * GIB


def test_sizes_divide_the_heads(tmp_path: Path) -> None:
    # 14 heads (Qwen2-0.5B's): 4 and 8 are impossible, 7 works.
    shape = shape_of(model(tmp_path / "m", 300, heads=14, kv_heads=2, layers=24))
    assert plan(shape, machine(8)).tp == 7


def test_cache_bytes_of_a_known_model(tmp_path: Path) -> None:
    # Llama 3 70B: 2 (keys, values) x 80 layers x 8 heads x 128 wide x 2 bytes.
    shape = shape_of(model(tmp_path / "m", 140, nested=True), session_len=8192)
    assert shape.cache_per_token == 327_680
    assert shape.context == 8192


def test_a_longer_context_needs_more(tmp_path: Path) -> None:
    name = model(tmp_path / "m", 60)
    assert plan(shape_of(name, 1024), machine(8)).tp < plan(shape_of(name, 32768), machine(8)).tp


def test_what_does_not_fit_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PrefdataError, match="do not fit on 2 GPUs of 24 GiB"):
        plan(shape_of(model(tmp_path / "m", 145)), machine(2, 24))


def test_what_cannot_be_read_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(PrefdataError, match="does not say how the model is built"):
        shape_of(str(tmp_path))
