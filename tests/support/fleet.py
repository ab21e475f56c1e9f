"""Several trainings one after another in the same two processes: starting processes costs more than tiny models do.

`train_together` starts this file with torchrun, which is thereby tested too.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock


def train_together(folder: Path, cases: list[dict[str, Any]], processes: int = 2) -> None:
    """Train every case on `processes` processes; a case holds settings of `forests.config`, and may hold `chunk`."""
    listed = folder / "cases.json"
    listed.write_text(json.dumps(cases))
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
         "-m", "tests.support.fleet", str(listed)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]


def main() -> None:
    """One of the processes."""
    import torch
    from accelerate.state import AcceleratorState

    from tests.support.forests import config
    from trainers import logprobs
    from trainers.launch import environment, result_only
    from trainers.run import run

    usual = logprobs._CHUNK_ELEMENTS
    # A second process group would meet the addresses of the first, so that all runs share one.
    with mock.patch.object(torch.distributed, "destroy_process_group"):
        for case in json.loads(Path(sys.argv[1]).read_text()):
            logprobs._CHUNK_ELEMENTS = case.pop("chunk", usual)
            settings = config(**case)
            with environment(settings), result_only():
                run(settings)
            AcceleratorState._reset_state(reset_partial_state=True)
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
