"""Copies of an engine behind one queue: the bytes of one engine, whatever happens to a copy, and no process left."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import psutil
import pytest

from pipelines import machine
from pipelines.cli.options import EngineOptions
from pipelines.engines import make_engine
from pipelines.engines.base import Request, Sampling
from pipelines.engines.replica_wire import packed, unpacked
from pipelines.engines.replicas import ReplicasEngine, _cpu_cache_share, _environments
from pipelines.plan import Gpu
from prefdata.demo.scenes import render, sample_scene
from prefdata.demo.tasks import make_question
from prefdata.errors import PrefdataError
from prefdata.records import MediaRef, Message, Text, ToolCall
from tests.support.program import prefdata, read_lines, write_lines

ROWS = 60
GPUS = [Gpu("test", 1, 1, str(number)) for number in range(4)]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    chosen = "It is the number that was asked for, and nothing else at all."
    write_lines(folder / "rows.jsonl", [{"question": f"{n}?", "chosen": chosen} for n in range(ROWS)])
    write_lines(folder / "answers.jsonl", [{"texts": [" goes on.", " or so they say.", " and then some."]}])
    return folder


@pytest.fixture(scope="module")
def expected(inputs: Path) -> dict[str, bytes]:
    """What one engine makes."""
    done = subprocess.run(command(inputs, inputs / "one"), capture_output=True, text=True, check=True)
    return result(msgspec.json.decode(done.stdout)["run"])


def command(inputs: Path, out: Path, *more: str) -> list[str]:
    return [
        *(
            sys.executable,
            "-m",
            "prefdata",
            "dropout-ntp",
            "--engine",
            "replay",
            "--num-return-sequences",
            "2",
        ),
        *("--checkpoint", str(inputs / "answers.jsonl"), "--prompt-path", str(inputs / "rows.jsonl")),
        *("--out-dir", str(out), "--engine-arg", "batch_size=4", *more),
    ]


def result(run: str) -> dict[str, bytes]:
    return {name: Path(run, name).read_bytes() for name in ("pairs.jsonl", "dropped.jsonl")}


class Program:
    """A run with copies, and the processes that belong to it."""

    def __init__(self, arguments: list[str], out: Path) -> None:
        self.out = out
        self.process = subprocess.Popen(
            arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def copies(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if "pipelines.engines.replica" in child.cmdline()]

    def wait_for(self, rows: int) -> None:
        until = time.monotonic() + 60
        while sum(len(part.read_bytes().splitlines()) for part in self.out.rglob("parts/0.jsonl")) < rows:
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < until
            time.sleep(0.01)


@pytest.fixture
def start(inputs: Path, tmp_path: Path) -> Iterator[Callable[..., Program]]:
    started: list[Program] = []

    def begin(*more: str) -> Program:
        out = tmp_path / "runs"
        slow = ("--dp", "2", "--engine-arg", "delay=0.05", *more)
        started.append(Program(command(inputs, out, *slow), out))
        return started[-1]

    yield begin
    for program in started:
        if program.process.poll() is None:
            os.killpg(program.process.pid, signal.SIGKILL)
            program.process.wait()


def end_of(program: Program) -> tuple[dict[str, Any], str]:
    said, errors = program.process.communicate(timeout=60)
    assert program.process.returncode == 0, errors
    assert "Traceback" not in errors
    return msgspec.json.decode(said), errors


def test_the_bytes_of_one_engine(start: Callable[..., Program], expected: dict[str, bytes]) -> None:
    found, errors = end_of(start())
    assert "2 copies of the replay engine, one queue" in errors
    assert result(found["run"]) == expected


def test_a_killed_copy_is_started_again_and_only_what_it_owed_is_asked_again(
    start: Callable[..., Program], expected: dict[str, bytes]
) -> None:
    program = start()
    program.wait_for(8)
    for _ in range(2):  # once each, so that no group is under way at two ends
        victim = program.copies()[0]
        victim.kill()
        before = len(read_lines(next(program.out.rglob("parts/0.jsonl"))))
        program.wait_for(before + 16)
    found, errors = end_of(program)
    assert (
        errors.count("ended (killed by SIGKILL); it is started again, what it owed (1 groups) is asked again")
        == 2
    )
    assert result(found["run"]) == expected
    lines = [line["id"] for line in read_lines(next(program.out.rglob("parts/0.jsonl")))]
    assert len(lines) == len(set(lines)) == ROWS


def test_a_copy_that_hangs_is_started_again_while_the_other_works(
    start: Callable[..., Program], expected: dict[str, bytes]
) -> None:
    program = start("--stall-timeout", "1.5")
    program.wait_for(8)
    program.copies()[1].suspend()
    found, errors = end_of(program)
    assert "ended (no answer for 1.5 s); it is started again" in errors
    assert result(found["run"]) == expected


def test_a_killed_run_leaves_no_copy_and_one_engine_goes_on(
    start: Callable[..., Program], inputs: Path, expected: dict[str, bytes]
) -> None:
    program = start()
    program.wait_for(8)
    copies = program.copies()
    assert len(copies) == 2
    program.process.kill()
    _, alive = psutil.wait_procs(copies, timeout=20)
    assert alive == []
    done = subprocess.run(
        command(inputs, program.out, "--engine-arg", "delay=0.05"), capture_output=True, text=True, check=True
    )
    assert result(msgspec.json.decode(done.stdout)["run"]) == expected, "--dp is no setting of the result"


def test_ctrl_c_leaves_no_copy(start: Callable[..., Program]) -> None:
    program = start()
    program.wait_for(8)
    copies = program.copies()
    os.killpg(program.process.pid, signal.SIGINT)
    _, errors = program.process.communicate(timeout=30)
    assert program.process.returncode == 130
    assert "Run the same command again" in errors
    assert "Traceback" not in errors
    assert psutil.wait_procs(copies, timeout=10)[1] == []


def test_a_group_that_ends_every_copy_ends_the_run(inputs: Path, tmp_path: Path) -> None:
    lines: list[dict[str, Any]] = [
        {"texts": [" goes on."]},
        {"texts": [" never"], "question": "7?", "stalls": 1},
    ]
    write_lines(tmp_path / "answers.jsonl", lines)
    done = subprocess.run(
        [
            *command(
                inputs, tmp_path / "runs", "--dp", "2", "--stall-timeout", "1", "--engine-arg", "delay=0.01"
            ),
            *("--checkpoint", str(tmp_path / "answers.jsonl")),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Two copies of the engine ended (no answer for 1 s; no answer for 1 s)" in done.stderr
    assert "Traceback" not in done.stderr
    assert len(read_lines(next((tmp_path / "runs").rglob("parts/0.jsonl")))) == ROWS - 4


def test_an_engine_that_does_not_start_is_one_sentence(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answers = tmp_path / "answers.jsonl"
    write_lines(answers, [{"texts": ["yes"]}])
    engine = make_engine(EngineOptions(checkpoint=str(answers), engine="replay", dp=3))
    answers.unlink()
    with pytest.raises(PrefdataError, match="the replay engine needs a JSONL file"):
        asyncio.run(engine.start())
    assert capfd.readouterr().err == ""
    assert psutil.Process().children() == []


def test_transformers_with_images_gives_the_bytes_of_one_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    rows = []
    for number in range(12):
        scene = sample_scene(2_000_000_100 + number // 2)
        render(scene).save(tmp_path / f"{number // 2}.png")
        question = make_question(scene)
        rows.append(
            {
                "image": f"{number // 2}.png",
                "question": f"{question.question} ({number})",
                "answer": question.answer,
            }
        )
    rows[5]["image"] = "missing.png"
    write_lines(tmp_path / "rows.jsonl", rows)

    def samples(out: str, *more: str) -> bytes:
        done = prefdata(
            *("cot-pairs", "--checkpoint", "demo", "--batch-size", "3", "--prompt-path", "rows.jsonl"),
            *("--out-dir", out, "--prompt-version", "en", "--fixed-n", "--num-return-sequences", "3"),
            *("--max-new-tokens", "24", *more),
            cwd=tmp_path,
        )
        assert done.returncode == 1, done.stderr  # one image is missing
        found = msgspec.json.decode(done.stdout)
        assert found["dropped"] == {"image": 1}
        return Path(tmp_path, found["samples"]).read_bytes()

    # Sums over another number of threads could be rounded differently.
    monkeypatch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))
    one = samples("one")
    assert one.count(b"\n") == 33
    assert samples("two", "--dp", "2") == one


def test_requests_travel_whole() -> None:
    turn = Message(
        "user", (MediaRef(0), Text("Look."), MediaRef(1)), calls=(ToolCall("f", "{}"),), extra={"a": 1}
    )
    request = Request(
        id="x",
        messages=(turn,),
        images=(Path(os.fsdecode(b"no \xff text.png")), b"\x00\xffbytes"),
        prefix=" begun\n",
        n=3,
        first=2,
        sampling=Sampling(temperature=0.5, top_k=7, top_p=0.5, max_new_tokens=9),
        seed=1 << 62,
    )
    assert unpacked(packed([request])) == [request]


def test_each_copy_has_gpus_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    first, second = _environments(2, 2, GPUS)
    assert (first["CUDA_VISIBLE_DEVICES"], second["CUDA_VISIBLE_DEVICES"]) == ("0,1", "2,3")
    assert first["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert int(first["OMP_NUM_THREADS"]) >= 1
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-aa,GPU-bb")
    named = [Gpu("test", 1, 1, "GPU-aa"), Gpu("test", 1, 1, "GPU-bb")]
    assert _environments(2, 1, named)[1]["CUDA_VISIBLE_DEVICES"] == "GPU-bb"
    assert "CUDA_DEVICE_ORDER" not in _environments(2, 1, named)[1]
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert _environments(2, 1, []) == [{}, {}]
    with pytest.raises(PrefdataError, match="3 copies on 2 GPUs each need 6, and there are 4"):
        _environments(3, 2, GPUS)


def test_gpus_that_cannot_be_listed_are_no_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "gpus", list)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(PrefdataError, match=r"--dp 2: CUDA_VISIBLE_DEVICES=0,1 says that there are GPUs"):
        ReplicasEngine(EngineOptions(checkpoint="demo"), 2)
    for nothing in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", nothing)
        assert machine.hides_gpus() is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(machine, "_DEVICE", os.devnull)
    assert machine.hides_gpus() == os.devnull


def test_copies_on_a_cpu_share_the_cache_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "memory", lambda: (128 << 30, 64 << 30))
    assert _cpu_cache_share(None, 2) * (64 << 30) == 2 << 30, "a quarter would be 16 GiB, 4 GiB are the most"
    assert _cpu_cache_share(0.5, 2) == 0.25
    monkeypatch.setattr(machine, "memory", lambda: (8 << 30, 8 << 30))
    assert _cpu_cache_share(None, 2) == 0.125


@pytest.mark.parametrize("given", ["0", "two", "-1"])
def test_a_wrong_dp_is_one_sentence(given: str) -> None:
    with pytest.raises(PrefdataError, match=f"--dp {given}: a whole number of at least 1 is needed, or auto"):
        _ = EngineOptions(checkpoint="demo", dp=given).copies


def test_a_server_has_its_own_copies() -> None:
    with pytest.raises(PrefdataError, match="--dp 2: how many copies a server runs"):
        _ = EngineOptions(checkpoint="demo", engine="openai", base_url="http://x/v1", dp="2").copies
