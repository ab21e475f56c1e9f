"""The `prefdata` program in tests: in this process (fast), or in one of its own (real standard error)."""

import contextlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

from prefdata.cli.main import main


def write_lines(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write rows as JSON lines."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """All rows of a JSONL file."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def prefdata(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in this process; its progress lines go to the log, its errors to `stderr`."""
    argv = ["prefdata", *map(str, arguments)]
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    code = 0
    before = Path.cwd()
    os.chdir(cwd)
    try:
        with (
            mock.patch.object(sys, "argv", argv),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
        ):
            main()
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else 1
    finally:
        os.chdir(before)
    out.seek(0)
    return subprocess.CompletedProcess(argv, code, out.read(), err.getvalue())


def replay(command: str, folder: Path, out: str, *more: object) -> subprocess.CompletedProcess[str]:
    """Run a generation command on recorded answers: rows.jsonl and answers.jsonl in `folder`."""
    recorded = ("--engine", "replay", "--checkpoint", "answers.jsonl", "--prompt-path", "rows.jsonl")
    return prefdata(command, *recorded, "--out-dir", out, *more, cwd=folder)


def replayed(command: str, folder: Path, out: str, *more: object) -> Path:
    """The run directory of such a run."""
    done = replay(command, folder, out, *more)
    assert done.stdout, done.stderr
    return folder / str(json.loads(done.stdout)["run"])


def program(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in a process of its own."""
    argv = [sys.executable, "-m", "prefdata", *map(str, arguments)]
    return subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
