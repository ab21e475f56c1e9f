"""`prefdata --help` answers at once: the commands it lists import their libraries only when they run."""

import resource
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("prefdata")
HEAVY = ("torch", "transformers", "pyarrow", "PIL", "numpy")
LIMIT_SECONDS = 0.25
TRIES = 8  # the best counts: a busy machine makes single runs slow, never fast


def children_cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_help_starts_quickly() -> None:
    # CPU seconds, not the clock's: the help waits for nothing, so both agree on an idle machine, and only these stay
    # true when other work has the processors.
    seconds = []
    for _ in range(TRIES):
        before = children_cpu_seconds()
        subprocess.run([PROGRAM, "--help"], check=True, stdout=subprocess.DEVNULL)
        seconds.append(children_cpu_seconds() - before)
    assert min(seconds) < LIMIT_SECONDS


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys\n"
        "from prefdata.cli.main import main\n"
        "sys.argv = ['prefdata', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert "Usage:" in done.stdout
    assert done.stdout.splitlines()[-1] == "loaded: []"
