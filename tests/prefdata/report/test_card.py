"""The dataset card is one that the hub's own library reads."""

import json
from pathlib import Path

import pytest

from prefdata.report.card import card


def made(*, images: bool = True, **counts: object) -> str:
    return card(
        "my-pairs", "Pairs.", {"rows": 9, **counts, "dropped": {"same|answer": 2}}, {"model": "a|b\n`c`", "seed": 1},
        "Beware.", {"pairs.jsonl": "the pairs"}, ("dropout-ntp",),
        images=images,
    )  # fmt: skip


def test_counts_settings_and_limits_are_told() -> None:
    text = made(pairs=7)
    assert "| pairs | 7 |" in text
    assert "| dropped: same\\|answer | 2 |" in text
    assert "| model | `a\\|b 'c'` |" in text
    assert "## Limitations\n\nBeware." in text
    assert made(pairs=7) == text


@pytest.mark.parametrize(
    ("pairs", "size"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (99_999, "10K<n<100K"), (2_000_000, "1M<n<10M")],
)
def test_the_front_matter_is_the_hubs(pairs: int, size: str) -> None:
    hub = pytest.importorskip("huggingface_hub")
    data = hub.DatasetCard(made(pairs=pairs)).data
    assert data.license == "unknown"
    assert data.size_categories == [size]
    assert data.configs == [{"config_name": "default", "data_files": "pairs.jsonl"}]
    assert "dropout-ntp" in data.tags
    assert data.task_categories == ["image-text-to-text"]
    assert hub.DatasetCard(made(pairs=pairs, images=False)).data.task_categories == ["text-generation"]


def test_the_hubs_loader_takes_the_data_and_nothing_else(tmp_path: Path) -> None:
    """A run's folder holds other rows too (dropped.jsonl, meta.json); the card says which file is the data set."""
    datasets = pytest.importorskip("datasets")
    (tmp_path / "README.md").write_text(made(pairs=2))
    row = {"question": "Q", "chosen": "a", "rejected": "b"}
    (tmp_path / "pairs.jsonl").write_text(2 * (json.dumps(row) + "\n"))
    (tmp_path / "dropped.jsonl").write_text(json.dumps({"reason": "same", "row": row}) + "\n")
    (tmp_path / "meta.json").write_text('{"a": {"annotation": "pairs.jsonl"}}')
    loaded = datasets.load_dataset(str(tmp_path), cache_dir=str(tmp_path / "cache"))
    assert {name: list(split) for name, split in loaded.items()} == {"train": [row, row]}


def test_the_card_survives_the_hubs_own_writer() -> None:
    hub = pytest.importorskip("huggingface_hub")
    card = hub.DatasetCard(made(pairs=7))
    again = hub.DatasetCard(str(card))
    assert again.data.to_dict() == card.data.to_dict()
    assert again.text == card.text
    assert isinstance(card.data, hub.DatasetCardData)
