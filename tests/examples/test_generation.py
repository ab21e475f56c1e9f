"""The scripts of examples/generation, really run, on answers from a file or a server in this process."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.hostile_server import hostile
from tests.support.program import read_lines, write_lines

SCRIPTS = Path(__file__).resolve().parents[2] / "examples" / "generation"
ROWS = 20


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"question": f"{n}?", "chosen": f"It is the number {n}, one of many."} for n in range(ROWS)]
    write_lines(tmp_path / "answers.jsonl", rows)
    write_lines(tmp_path / "said.jsonl", [{"texts": [" goes on.", " and ends here."]}])
    return tmp_path


def script(name: str, folder: Path, **variables: str) -> str:
    """Run a script as a user would, with the program of this environment; its standard output."""
    bash = shutil.which("bash")
    assert bash is not None
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = os.environ | {"PATH": path} | variables
    done = subprocess.run(
        [bash, str(SCRIPTS / name)], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def pairs(run: Path) -> list[str]:
    return [row["rejected"] for row in read_lines(run / "pairs.jsonl")]


def test_every_script_is_tried_here() -> None:
    assert {path.name for path in SCRIPTS.glob("*.sh")} == {
        *("laptop.sh", "one_gpu.sh", "eight_gpus.sh", "remote_server.sh", "slurm_array.sh", "slurm_merge.sh"),
    }
    table = (SCRIPTS / "README.md").read_text()
    assert all(f"`{path.name}`" in table for path in SCRIPTS.glob("*.sh"))


@pytest.mark.parametrize("name", ["laptop.sh", "one_gpu.sh", "eight_gpus.sh"])
def test_on_one_machine(folder: Path, name: str) -> None:
    printed = script(name, folder, ENGINE="replay", MODEL="said.jsonl").splitlines()
    result = json.loads(printed[-1])
    assert result["kept"] == ROWS
    assert ('"dry_run":true' in "".join(printed)) == (name == "laptop.sh")


def test_a_server(folder: Path) -> None:
    with hostile(prefix="fields") as server:
        printed = script("remote_server.sh", folder, BASE_URL=server.base_url, MODEL="counter")
    assert json.loads(printed)["kept"] == ROWS


def test_an_array_and_its_merge(folder: Path) -> None:
    one = json.loads(script("one_gpu.sh", folder, ENGINE="replay", MODEL="said.jsonl"))
    # The whole array, and then some of its tasks again, as a new array of their own.
    for index, count in ((0, 3), (2, 3), (1, 1)):
        task = {"SLURM_ARRAY_TASK_ID": str(index), "SLURM_ARRAY_TASK_COUNT": str(count), "SHARDS": "3"}
        task |= {"SLURM_ARRAY_TASK_MIN": str(index if count == 1 else 0)}
        script("slurm_array.sh", folder, ENGINE="replay", MODEL="said.jsonl", **task)
    merged = json.loads(script("slurm_merge.sh", folder))
    assert merged["counts"]["rows"] == ROWS
    for name in ("pairs.jsonl", "dropped.jsonl"):
        assert (folder / "merged" / name).read_bytes() == (folder / one["run"] / name).read_bytes()
