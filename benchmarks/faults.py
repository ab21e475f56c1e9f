"""The fault table: what can happen to a run, done to the real program. Expected and seen, as Markdown.

    python -m benchmarks.faults [--kills 50] [--model-kills 25]

Not a comparison and not part of `make bench` (`make faults`): it takes minutes, and its exit code says whether all
was as expected. The faults that need a file system of their own (a full disk, a read-only folder) are done where the
system lets `unshare -m` make one; elsewhere the table says that they were not.
"""

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.support import faults
from tests.support.faults import Outcome


def main() -> int:
    """Do every fault, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=50, help="kill -9 on the replay engine")
    parser.add_argument("--model-kills", type=int, default=25, help="kill -9 on the transformers engine")
    given = parser.parse_args()
    stop = (signal.SIGTERM, signal.SIGINT)
    jobs: dict[str, Callable[[Path], Outcome]] = {
        "kill": lambda work: faults.killed(faults.replay(work / "in"), work, given.kills),
        "kill batches": lambda work: faults.killed(
            faults.replay(work / "in", batch=8), work, given.kills, seed=8
        ),
        "kill copies": lambda work: faults.killed(
            faults.replay(work / "in", copies=2), work, given.kills // 5
        ),
        "kill model": lambda work: faults.killed(faults.bundled_model(work / "in"), work, given.model_kills),
        "stop": lambda work: faults.killed(faults.replay(work / "in"), work, given.kills // 5, signals=stop),
        "SIGTERM": lambda work: faults.stopped(faults.replay(work / "in"), work, signal.SIGTERM),
        "SIGINT": lambda work: faults.stopped(faults.replay(work / "in"), work, signal.SIGINT),
        "stall": faults.stalled,
        "server": faults.server_dies,
        "torn": lambda work: faults.torn(work, given.kills // 2),
        "edited": faults.edited,
        "settings": faults.other_settings,
        "input": faults.other_input,
        "writers": faults.two_writers,
        "limit": faults.limited_file,
    }
    if faults.can_mount():
        jobs |= {"full disk": faults.full_disk, "read-only": faults.read_only}
        jobs |= {"full at the end": lambda work: faults.full_disk(work, at_the_end=True)}
    print("| fault | expected | seen | |\n|---|---|---|---|", flush=True)
    wrong = 0
    for job in jobs.values():
        with tempfile.TemporaryDirectory(prefix="prefdata-faults-") as work:
            outcome = job(Path(work))
        wrong += not outcome.ok
        verdict = "ok" if outcome.ok else "WRONG"
        print(f"| {outcome.fault} | {outcome.expected} | {outcome.seen} | {verdict} |", flush=True)
    if "full disk" not in jobs:
        print("| a full disk, a read-only folder | - | not done: this user may not mount (unshare -m) | - |")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
