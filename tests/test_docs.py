"""The documentation's commands do what the documentation says.

A ```console block right below the comment `<!-- checked -->` is run: each line that starts with `$ ` is a shell
command, the lines after it are its whole output (standard output and error together), in which a line `...` stands
for any number of lines and `...` within a line for any text. All checked blocks of one page share one temporary
folder, in order, so that a page reads as one session. A command that fails must say so: its last line is
`[exit code N]`.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^<!-- checked -->\n```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def commands(block: str) -> list[tuple[str, list[str]]]:
    """The (command, expected output lines) of one block."""
    steps: list[tuple[str, list[str]]] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append((line[2:], []))
        else:
            steps[-1][1].append(line)
    return steps


def matches(expected: list[str], output: str) -> bool:
    """Whether the output is what was expected, `...` standing for anything."""
    pattern = ""
    for line in expected:
        pattern += r"(?:.*\n)*?" if line == "..." else re.escape(line).replace(r"\.\.\.", ".*") + "\n"
    return re.fullmatch(pattern, output) is not None


def run(command: str, folder: Path) -> str:
    """Run a command as a reader would, with this environment's programs first, and return what it printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "100"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output = done.stdout if done.stdout.endswith("\n") or not done.stdout else done.stdout + "\n"
    return output + (f"[exit code {done.returncode}]\n" if done.returncode else "")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_checked_commands(page: Path, tmp_path: Path) -> None:
    for block in BLOCK.findall(page.read_text()):
        for command, expected in commands(block):
            output = run(command, tmp_path)
            assert matches(expected, output), f"$ {command}\n{output}"


def test_the_check_itself(tmp_path: Path) -> None:
    (block,) = BLOCK.findall(
        "text\n<!-- checked -->\n```console\n$ seq 3; false\n1\n...\n[exit code 1]\n```\n"
    )
    ((command, expected),) = commands(block)
    assert matches(expected, run(command, tmp_path))
    assert not matches(["2", "..."], run(command, tmp_path))
