"""Files appear whole or not at all, and no command writes over what it reads."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from prefdata.atomic import atomic_writer, keep_inputs
from prefdata.errors import PrefdataError
from tests.support.program import prefdata

ROW = '{"question":"2+2?","chosen":"4","rejected":"5"}\n'


def test_a_failed_write_leaves_the_old_file_and_names_it(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("old")
    with pytest.raises(OSError, match="space") as caught, atomic_writer(path):
        raise OSError(28, "No space left on device")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.jsonl"]


def test_what_a_killed_process_left_of_the_same_file_goes(tmp_path: Path) -> None:
    script = (
        "import os, signal; from pathlib import Path; from prefdata.atomic import atomic_writer\n"
        "with atomic_writer(Path('a.jsonl')): os.kill(os.getpid(), signal.SIGKILL)"
    )
    for _ in range(2):
        subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=False)
        assert len(os.listdir(tmp_path)) == 1
    living = tmp_path / f".a.jsonl.{os.getppid()}.tmp"
    living.touch()
    with atomic_writer(tmp_path / "a.jsonl") as stream:
        stream.write(b"x")
    assert sorted(os.listdir(tmp_path)) == [living.name, "a.jsonl"]


def test_links_to_an_input_are_the_input(tmp_path: Path) -> None:
    source, link = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text(ROW)
    link.symlink_to("a.jsonl")
    with pytest.raises(PrefdataError, match="overwrite an input"):
        keep_inputs(link, [source])
    keep_inputs(tmp_path / "c.jsonl", [source])


@pytest.mark.parametrize(
    "command",
    [
        "report a.jsonl -o a.jsonl",
        "report meta.json -o a.jsonl",
        "report meta.json -o meta.json",
        "validate a.jsonl --report a.jsonl",
        "validate meta.json --report a.jsonl",
        "validate . --report sub/b.jsonl",
        "mix convert meta.json a.jsonl --to prefdata",
        "mix convert meta.json meta.json --to swift",
        "mix write meta.json .",
        "mix write sub/b.jsonl sub",
        "validate in.rejected.jsonl --fix --output in.jsonl",
    ],
)
def test_no_command_overwrites_its_input(tmp_path: Path, command: str) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.jsonl", "in.rejected.jsonl", "sub/b.jsonl"):
        (tmp_path / name).write_text(ROW)
    (tmp_path / "meta.json").write_text(
        '{"a":{"root":".","annotation":"a.jsonl","repeat_time":1,"length":1}}'
    )
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.json*")}
    done = prefdata(*command.split(), cwd=tmp_path)
    assert done.returncode == 2
    assert "input" in done.stderr
    assert {path: path.read_bytes() for path in before} == before
