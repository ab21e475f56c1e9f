"""What pins a run."""

from pathlib import Path

from pipelines.cli.dropout_ntp import Config
from pipelines.output import pinned


def test_a_hub_model_is_pinned_by_its_name(tmp_path: Path) -> None:
    # Its content is not there before the first start has downloaded it.
    rows = tmp_path / "rows.jsonl"
    settings, _ = pinned(Config(checkpoint="nobody/nothing", prompt_path=str(rows)), "dropout-ntp", rows)
    assert settings["model_hash"] == "nobody/nothing"
    local, _ = pinned(Config(checkpoint="demo", prompt_path=str(rows)), "dropout-ntp", rows)
    assert len(local["model_hash"]) == 32
