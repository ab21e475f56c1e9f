"""The public command line with `--engine vllm`: real pairs, a clean end after Ctrl-C, and what was finished is kept."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

pytest.importorskip("vllm")

COMMAND = [sys.executable, "-m", "prefdata"]
QUESTIONS = [
    {"question": f"What is {a} + {b}?", "answer": str(a + b), "answer_type": "number"}
    for a in range(1, 5)
    for b in range(1, 5)
]


def write(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rows_of(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *map(str, arguments)], capture_output=True, text=True, check=False)


def only(folder: Path, name: str) -> Path:
    (found,) = folder.rglob(name)
    return found


def test_dropout_ntp_with_two_copies_makes_valid_pairs(smollm2: Path, tmp_path: Path) -> None:
    answer = "The sky looks blue because air scatters blue light more than red light, in all directions."
    asked = write(
        tmp_path / "asked.jsonl",
        [{"question": f"Why is the sky blue? ({n})", "chosen": answer} for n in range(4)],
    )
    out = tmp_path / "runs"
    done = run(
        *(
            "dropout-ntp",
            "--engine",
            "vllm",
            "--checkpoint",
            smollm2,
            "--prompt-path",
            asked,
            "--out-dir",
            out,
        ),
        *("--max-new-tokens", "64", "--session-len", "1024", "--keep-truncated", "--dp", "2"),
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["kept"] > 0  # vLLM's own words go elsewhere
    assert "2 copies of the vllm engine, one queue" in done.stderr
    pairs = only(out, "pairs.jsonl")
    half = answer[: len(answer) // 3]
    dropped = rows_of(only(out, "dropped.jsonl"))
    assert len(rows_of(pairs)) + len(dropped) == 4
    for pair in rows_of(pairs):
        assert str(pair["rejected"]).startswith(half)
        assert pair["rejected"] != answer
        assert pair["meta"]["engine"].startswith("vllm")  # type: ignore[index]
        assert pair["meta"]["seed"] is None  # type: ignore[index]
    assert run("validate", pairs).returncode == 0


def test_ctrl_c_leaves_no_process_and_loses_nothing(smollm2: Path, tmp_path: Path) -> None:
    asked = write(tmp_path / "asked.jsonl", QUESTIONS)
    out = tmp_path / "runs"
    arguments = [
        *("cot-pairs", "--engine", "vllm", "--checkpoint", str(smollm2), "--prompt-path", str(asked)),
        *("--out-dir", str(out), "--prompt-version", "en", "--num-return-sequences", "4"),
        *("--max-new-tokens", "64", "--session-len", "1024", "--batch-size", "2"),
    ]
    shared = set(Path("/dev/shm").glob("psm_*"))
    started = subprocess.Popen(
        [*COMMAND, *arguments],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background, Ctrl-C is ignored, and a child would inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    until = time.monotonic() + 600
    while not any(part.stat().st_size for part in out.rglob("parts/*.jsonl")):
        assert started.poll() is None, started.stderr and started.stderr.read()
        assert time.monotonic() < until
        time.sleep(0.1)
    family = psutil.Process(started.pid).children(recursive=True)
    assert family
    # A terminal sends the signal to the whole foreground group.
    os.killpg(started.pid, signal.SIGINT)
    _, said = started.communicate(timeout=120)
    assert started.returncode == 130, said
    assert "Stopped." in said
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    assert set(Path("/dev/shm").glob("psm_*")) <= shared

    finished = sum(len(rows_of(part)) for part in out.rglob("parts/*.jsonl"))
    assert 0 < finished < len(QUESTIONS)
    done = run(*arguments)
    # So small a model may make no pair, which is an exit code of its own; what counts here is that nothing is missing.
    made = only(out, "pairs.jsonl").stat().st_size > 0
    assert done.returncode == (0 if made else 1), done.stderr
    samples = rows_of(only(out, "samples.jsonl"))
    assert len(samples) == 4 * len(QUESTIONS)
    assert {str(row["question_orig"]) for row in samples} == {row["question"] for row in QUESTIONS}
    # An answer that Ctrl-C cut short would be one that ended for another reason.
    assert {row["finish_reason"] for row in samples} <= {"stop", "length"}
