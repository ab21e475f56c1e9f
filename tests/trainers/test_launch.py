"""What the environment says about processes is checked before anything is loaded."""

import errno
import os
from pathlib import Path

import pytest

from prefdata.errors import EXIT_DATA, PrefdataError
from tests.support.forests import config
from trainers import launch
from trainers.config import TrainConfig


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "WORLD_SIZE"])
def test_a_place_that_is_no_number_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "abc")
    with pytest.raises(PrefdataError, match=f"{name}=abc: a whole number is needed"):
        launch.launch(config(Path("m"), Path("d")))


def test_a_missing_package_is_said_once(monkeypatch: pytest.MonkeyPatch, text_pairs: Path) -> None:
    monkeypatch.setattr(launch, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="torch is not installed"):
        launch.launch(config(Path("demo"), text_pairs, nproc=2))


def test_wrong_names_are_told_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, text_pairs: Path
) -> None:
    monkeypatch.setattr(launch, "environment", lambda config: pytest.fail("torch would be imported"))
    with pytest.raises(FileNotFoundError, match=r"nowhere\.jsonl"):
        launch.launch(config(Path("demo"), Path("nowhere.jsonl")))
    with pytest.raises(PrefdataError, match="nobody: no such model folder"):
        launch.launch(config(Path("nobody"), text_pairs))


def test_a_number_of_processes_that_a_launcher_decides(
    monkeypatch: pytest.MonkeyPatch, text_pairs: Path
) -> None:
    for name, value in (("RANK", "0"), ("LOCAL_RANK", "0"), ("WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    with pytest.raises(
        PrefdataError, match="--nproc 4: this process is one of 2 that a launcher has started"
    ):
        launch.launch(config(Path("demo"), text_pairs, nproc=4))


def test_a_full_disk_ends_one_of_many_processes_with_a_sentence(
    monkeypatch: pytest.MonkeyPatch, text_pairs: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Under another launcher, too: an orderly end would wait for the processes that wait for this one."""

    def full(config: TrainConfig) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "out/model.safetensors")

    def ended(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("trainers.run.run", full)
    monkeypatch.setattr(os, "_exit", ended)
    with pytest.raises(SystemExit) as caught:
        launch.launch(config(Path("demo"), text_pairs))
    assert caught.value.code == EXIT_DATA
    assert "error: out/model.safetensors: no space left on the device" in capfd.readouterr().err
