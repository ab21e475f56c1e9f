"""The real program, really killed: the same command again ends with the bytes of a run nobody touched."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

ROWS = 60


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    rows = [
        {"question": f"What is {n}?", "chosen": f"It is the number {n}, and nothing else at all."}
        for n in range(ROWS)
    ]
    rows[7] = {"question": "Short?", "chosen": "yes"}
    rows[9] = rows[8]
    (folder / "rows.jsonl").write_bytes(b"\n".join(map(msgspec.json.encode, rows)))
    texts = [" goes on.", " or so they say.", " I cannot see the image.", " and then some."]
    (folder / "answers.jsonl").write_bytes(msgspec.json.encode({"texts": texts}))
    return folder


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
        *("--out-dir", str(out), *more),
    ]


def finish(arguments: list[str]) -> Path:
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    return Path(msgspec.json.decode(done.stdout)["run"])


def result(run: Path) -> dict[str, bytes]:
    return {
        name: (run / name).read_bytes() for name in ("pairs.jsonl", "dropped.jsonl", "meta.json", "README.md")
    }


@pytest.mark.parametrize("batch", [1, 8])
def test_killed_at_random_moments_the_bytes_are_the_same(inputs: Path, tmp_path: Path, batch: int) -> None:
    # The replay engine waits 20 ms before each reply, so there is time to be killed in.
    slow = ("--batch-size", "4", "--engine-arg", "delay=0.02", "--engine-arg", f"batch_size={batch}")
    expected = result(finish(command(inputs, tmp_path / "whole", *slow)))
    assert expected["pairs.jsonl"].count(b"\n") > ROWS // 2
    rng = random.Random(batch)
    arguments = command(inputs, tmp_path / "killed", *slow)
    interrupted = 0
    for _ in range(12):
        part = next((tmp_path / "killed").glob("*/*/parts/0.jsonl"), None)
        size = part.stat().st_size if part else 0
        process = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 30
        while process.poll() is None and time.monotonic() < deadline:
            part = next((tmp_path / "killed").glob("*/*/parts/0.jsonl"), None)
            if part and part.stat().st_size > size + rng.randrange(800):
                break
            time.sleep(0.003)
        process.send_signal(rng.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        if process.wait(30) != 0:
            interrupted += 1
        if interrupted == 4:
            break
    assert interrupted == 4
    assert result(finish(arguments)) == expected
    assert result(finish(arguments)) == expected, "a finished run asked again is the same run"


def test_stopped_by_hand_says_how_to_go_on(inputs: Path, tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(inputs, tmp_path, "--batch-size", "1", "--engine-arg", "delay=0.5"),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list(tmp_path.glob("*/*/parts/0.jsonl")):
        time.sleep(0.01)
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Run the same command again" in errors
    assert "Traceback" not in errors


def test_two_processes_on_one_run(inputs: Path, tmp_path: Path) -> None:
    arguments = command(inputs, tmp_path, "--batch-size", "1", "--engine-arg", "delay=0.2")
    first = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while not list(tmp_path.glob("*/*/parts/0.jsonl")):
            time.sleep(0.01)
        second = subprocess.run(arguments, capture_output=True, text=True, check=False)
    finally:
        first.kill()
        first.wait()
    assert second.returncode == 2
    assert "another process is writing to this run" in second.stderr
    assert "Traceback" not in second.stderr


def test_other_settings_name_the_difference(inputs: Path, tmp_path: Path) -> None:
    finish(command(inputs, tmp_path))
    other = subprocess.run(
        command(inputs, tmp_path, "--top-k", "7"), capture_output=True, text=True, check=False
    )
    assert other.returncode == 2
    assert "top_k was 50 and is now 7" in other.stderr


def test_a_full_disk_is_one_sentence_and_costs_nothing_done(inputs: Path, tmp_path: Path) -> None:
    # A limit on the size of files stands for the full disk: writing fails half way through a line.
    expected = result(finish(command(inputs, tmp_path / "whole")))
    limited = [
        "bash",
        "-c",
        'ulimit -f 16; trap "" XFSZ; exec "$@"',
        "-",
        *command(inputs, tmp_path / "full"),
    ]
    full = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert full.returncode in (1, 2)
    assert "File too large" in full.stderr
    assert "0.jsonl" in full.stderr
    assert "Traceback" not in full.stderr
    assert result(finish(command(inputs, tmp_path / "full"))) == expected
