"""`datasets.load_dataset` on every format that is written: each row is there, and means the record it was made from."""

import json
from pathlib import Path
from typing import Any

import pytest

from prefdata.formats import get, writable
from tests.support.held import convert
from tests.support.program import write_lines

pytest.importorskip("datasets")

LF = "hiyouga+LLaMA-Factory/data"
TEXT_PAIRS = "PKU-Alignment+align-anything/assets/text_to_text/preference/train.json"
IMAGE_PAIR = "InternLM+InternLM-XComposer/InternLM-XComposer-2.5-Reward/training/data/example.json"
CHAT, IMAGE_CHAT = f"{LF}/alpaca_en_demo.json", f"{LF}/mllm_demo.json"


@pytest.fixture(autouse=True)
def quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Caches stay here, bars are off."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def load(kind: str, path: Path) -> list[dict[str, Any]]:
    """The rows; null is what `datasets` has for a key that only other rows have."""
    from datasets import load_dataset

    rows = load_dataset(kind, data_files=str(path), split="train")
    return [{key: value for key, value in row.items() if value is not None} for row in rows]


def same(found: list[dict[str, Any]], written: list[dict[str, Any]], format_id: str) -> None:
    """Rows of the same records."""
    assert len(found) == len(written)
    reader = get(format_id)
    for one, other in zip(found, written, strict=True):
        assert reader.to_record(one) == reader.to_record(other)


def rows_of(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        return list(json.loads(text))
    return [json.loads(line) for line in text.splitlines()]


def sources(upstream: Path, folder: Path, format_id: str) -> list[Path]:
    """Real files with rows that the format has a place for."""
    target = get(format_id)
    if "question" in target.kinds:
        rows = [{"question": f"{number} plus 1?", "answer": str(number + 1)} for number in range(3)]
        return [write_lines(folder / "questions.jsonl", rows)]
    names = {"pair": (TEXT_PAIRS, IMAGE_PAIR), "conversation": (CHAT, IMAGE_CHAT)}
    images = target.holds.images != "none"
    return [upstream / name for kind in target.kinds for name in names.get(kind, ())[: 1 + images]]


@pytest.mark.parametrize("container", ["jsonl", "json"])
@pytest.mark.parametrize("format_id", writable())
def test_every_written_format_loads(
    shared_data: Path, tmp_path: Path, format_id: str, container: str
) -> None:
    for number, source in enumerate(sources(shared_data / "upstream", tmp_path, format_id)):
        target = tmp_path / f"{number}.{container}"
        count = convert(source, target, format_id, "--container", container, "--limit", "50")
        found = load("json", target)
        assert len(found) == count
        same(found, rows_of(target), format_id)


@pytest.mark.parametrize("format_id", ["trl", "swift", "lf-sharegpt", "lf-alpaca"])
def test_images_in_parquet_are_images(shared_data: Path, tmp_path: Path, format_id: str) -> None:
    import pyarrow
    import pyarrow.parquet
    from datasets import Image, List, load_dataset
    from PIL import Image as Pixels

    path = shared_data / "images" / "hopper.png"
    row = {
        "image": {"bytes": path.read_bytes(), "path": path.name},
        "question": "Who?",
        "chosen": "A",
        "rejected": "B",
    }
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist([row] * 3), tmp_path / "rlaifv.parquet")
    target = tmp_path / "target.parquet"
    assert convert(tmp_path / "rlaifv.parquet", target, format_id) == 3
    rows = load_dataset("parquet", data_files=str(target), split="train").cast_column("images", List(Image()))
    assert len(rows) == 3
    for found in rows:
        assert found["images"][0].tobytes() == Pixels.open(path).tobytes()
