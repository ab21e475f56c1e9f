"""`python -m tests.support.recorded FOLDER STOP train ...`: the program, and what every process really trained on.

Each process appends {"step", "rows"} to FOLDER/RANK.jsonl after every packed row whose loss it has worked out, rows by
file and line. At the beginning of step STOP it kills itself as the kernel would, without a chance to save anything.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from prefdata.cli.main import main
from trainers.trainer import ForestTrainer


def record(folder: Path, stop: int) -> None:
    """Wrap the loss, where rows are used and no longer only planned or loaded ahead."""
    original = ForestTrainer.compute_loss
    path = folder / f"{os.environ['RANK']}.jsonl"

    def compute_loss(self: ForestTrainer, model: Any, inputs: dict[str, Any], *rest: Any, **more: Any) -> Any:
        step = self.state.global_step
        if step == stop:
            os.kill(os.getpid(), signal.SIGKILL)
        loss = original(self, model, inputs, *rest, **more)
        if inputs["planned"].weight:
            with path.open("a") as stream:
                stream.write(
                    json.dumps({"step": step, "rows": [t.place for t in inputs["row"]["trees"]]}) + "\n"
                )
        return loss

    ForestTrainer.compute_loss = compute_loss  # type: ignore[method-assign]


if __name__ == "__main__":
    record(Path(sys.argv[1]), int(sys.argv[2]))
    sys.argv = ["prefdata", *sys.argv[3:]]
    main()
