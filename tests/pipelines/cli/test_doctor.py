"""`prefdata doctor` on machines with and without GPUs, and `--tp auto` by the same plan."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pipelines import machine, plan
from pipelines.cli.options import EngineOptions
from prefdata.errors import PrefdataError
from tests.support.program import prefdata

SMI = """#!/bin/sh
echo "0, GPU-aaaa, NVIDIA H100 80GB HBM3, 81559, 80000"
echo "1, GPU-bbbb, NVIDIA H100 80GB HBM3, 81559, 200"
echo "2, GPU-cccc, NVIDIA GB10, [N/A], [N/A]"
"""


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(SMI)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    plan.automatic.cache_clear()
    plan.automatic_copies.cache_clear()


def doctor(folder: Path, *arguments: str) -> tuple[str, dict[str, Any]]:
    done = prefdata("doctor", *arguments, cwd=folder)
    assert done.returncode == 0, done.stderr
    *said, last = done.stdout.splitlines()
    return "\n".join(said), json.loads(last)


def test_without_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    said, found = doctor(tmp_path, "--checkpoint", "demo")
    assert "engine openai: can be used" in said
    assert "plan: one copy on the CPU" in said
    assert found["gpus"] == []
    assert found["memory"]["total"] >= found["memory"]["available"] > 0
    assert found["versions"]["python"]


def test_dp_auto_without_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(plan, "say", said.append)
    monkeypatch.setattr("pipelines.machine.gpus", list)
    plan.automatic_copies.cache_clear()
    assert plan.automatic_copies(1) == 1
    assert said == ["--dp auto: no GPU here: 1 copy on the CPU"]


@pytest.mark.usefixtures("two_gpus")
def test_with_gpus_the_plan_and_tp_auto_agree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said, found = doctor(tmp_path, "--checkpoint", "demo")
    assert [gpu["name"] for gpu in found["gpus"]] == ["NVIDIA H100 80GB HBM3"] * 2
    assert "plan: --tp 1 --dp 2 on 2 GPUs" in said
    options = EngineOptions(checkpoint="demo", engine="vllm", tp="auto", dp="auto")
    assert (options.tensor_parallel, options.copies) == (1, 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [gpu["free"] for gpu in doctor(tmp_path)[1]["gpus"]] == [200 << 20]


@pytest.mark.usefixtures("two_gpus")
def test_dp_auto_fills_the_gpus_with_copies_of_the_size_given(monkeypatch: pytest.MonkeyPatch) -> None:
    assert EngineOptions(checkpoint="demo", dp="auto").copies == 2
    assert EngineOptions(checkpoint="demo", engine="vllm", tp=2, dp="auto").copies == 1
    assert EngineOptions(checkpoint="demo", engine="replay", dp="auto").copies == 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-bb")
    assert [gpu.id for gpu in machine.gpus()] == ["GPU-bb"]


def test_gpus_of_another_machine(tmp_path: Path) -> None:
    _, found = doctor(tmp_path, "--checkpoint", "demo", "--gpus", "8", "--gpu-memory", "24")
    assert (found["plan"]["tp"], found["plan"]["replicas"]) == (1, 8)


def test_no_plan_is_exit_code_1(tmp_path: Path) -> None:
    done = prefdata("doctor", "--checkpoint", "demo", "--gpus", "1", "--gpu-memory", "0.1", cwd=tmp_path)
    assert done.returncode == 1
    assert "do not fit on 1 GPUs" in done.stdout


def test_without_torch(tmp_path: Path) -> None:
    # Packages that cannot be imported stand for packages that are not there.
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'transformers', 'vllm', 'httpx2', 'huggingface_hub')));"
        "sys.argv = ['prefdata', 'doctor', '--checkpoint', 'demo', '--gpus', '2'];"
        "from prefdata.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "engine vllm: not installed: pip install 'prefdata[vllm]'" in done.stdout


@pytest.mark.parametrize("given", ["0", "two", "-1"])
def test_a_wrong_tp_is_one_sentence(given: str) -> None:
    with pytest.raises(PrefdataError, match=f"--tp {given}: a whole number of at least 1 is needed, or auto"):
        _ = EngineOptions(checkpoint="demo", tp=given).tensor_parallel


def test_tp_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TP", "3")
    assert EngineOptions(checkpoint="demo").tensor_parallel == 3
    assert EngineOptions(checkpoint="demo", tp="2").tensor_parallel == 2
    assert EngineOptions(checkpoint="demo", tp="auto").tensor_parallel == 1
