"""What the libraries underneath are told, where the machine has a word in it."""

from pathlib import Path

import pytest

from tests.support.forests import config
from trainers import settings


@pytest.mark.parametrize(("asked", "cores", "made"), [(8, 2, 2), (8, 16, 8), (0, 2, 0), (None, 2, 0)])
def test_no_more_processes_make_rows_than_there_are_cores(
    asked: int | None, cores: int, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(settings, "say", said.append)
    monkeypatch.setattr(settings, "cores", lambda: cores)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert settings.loading_processes(config(Path("m"), Path("d"), num_workers=asked)) == made
    assert said == (["--num-workers 8: only 2 make rows, for so many cores are here"] if made == 2 else [])
