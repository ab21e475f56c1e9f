"""What pins a run, and its card."""

from pathlib import Path

import pytest

from pipelines.cli.dropout_ntp import Config
from pipelines.output import pinned, write_card


def test_a_hub_model_is_pinned_by_its_name(tmp_path: Path) -> None:
    # Its content is not there before the first start has downloaded it.
    rows = tmp_path / "rows.jsonl"
    settings, _ = pinned(Config(checkpoint="nobody/nothing", prompt_path=str(rows)), "dropout-ntp", rows)
    assert settings["model_hash"] == "nobody/nothing"
    local, _ = pinned(Config(checkpoint="demo", prompt_path=str(rows)), "dropout-ntp", rows)
    assert len(local["model_hash"]) == 32


@pytest.mark.parametrize(
    ("image", "task"), [('"image":"a.png",', "image-text-to-text"), ("", "text-generation")]
)
def test_the_card_says_whether_the_pairs_have_images(tmp_path: Path, image: str, task: str) -> None:
    (tmp_path / "pairs.jsonl").write_text(f'{{{image}"question":"Q","chosen":"a","rejected":"b"}}\n')
    write_card(tmp_path, "Pairs.", {"pairs": 1}, {"seed": 1}, "", "pairs")
    assert f"- {task}" in (tmp_path / "README.md").read_text()
