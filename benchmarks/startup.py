"""How long `prefdata --help` takes, against the least a Python program can take (`python -c pass`).

python benchmarks/startup.py
"""

import sys
from pathlib import Path

from benchmarks.harness import Subject, compare


def main() -> None:
    """Compare, print and write `results/startup.json`."""
    program = Path(sys.executable).with_name("prefdata")
    comparison = compare(
        Subject.command("prefdata --help", [str(program), "--help"], packages=["prefdata", "click"]),
        Subject.command("python -c pass", [sys.executable, "-c", "pass"]),
        rounds=15,
    )
    print(comparison.text())
    comparison.write("startup")


if __name__ == "__main__":
    main()
