"""Several trainings one after another in the same two processes: starting processes costs more than tiny models do.

`train_together` starts this file with torchrun, which is thereby tested too. A case holds settings of
`forests.config`, and may hold: `chunk`, logits that the head takes at once; `stop_at`, a step in which every process
is stopped; `kill_saving`, a step whose checkpoint is all but whole when the first process is killed; `fault_on`, the
one process that finds a fault in the shared path. A case that ends with an error leaves its sentence in
`error-RANK.txt`; every process leaves in `trained-RANK.jsonl` the rows that went through its model, as [step, places]
in their order.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock


def train_together(
    folder: Path, cases: list[dict[str, Any]], processes: int = 2
) -> subprocess.CompletedProcess[str]:
    """Train every case on `processes` processes."""
    listed = folder / "cases.json"
    listed.write_text(json.dumps(cases))
    return subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}",
         "-m", "tests.support.fleet", str(listed)],
        env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def main() -> None:
    """One of the processes."""
    import torch
    from accelerate.state import AcceleratorState

    from prefdata.errors import PrefdataError
    from tests.support.forests import config
    from trainers.launch import environment, result_only
    from trainers.run import run

    # A second process group would meet the addresses of the first, so that all runs share one.
    with mock.patch.object(torch.distributed, "destroy_process_group"):
        for case in json.loads(Path(sys.argv[1]).read_text()):
            with _disturbed(case):
                settings = config(**case)
                try:
                    with environment(settings), result_only():
                        run(settings)
                except (PrefdataError, InterruptedError) as error:
                    (Path(settings.output_dir) / f"error-{os.environ['RANK']}.txt").write_text(str(error))
            AcceleratorState._reset_state(reset_partial_state=True)
    torch.distributed.destroy_process_group()


def _disturbed(case: dict[str, Any]) -> Any:
    """The case's disturbance, taken out of its settings."""
    from contextlib import ExitStack

    from prefdata.jsonl import write_json
    from trainers import check, logprobs
    from trainers.trainer import ForestTrainer

    stack = ExitStack()
    chunk = case.pop("chunk", logprobs._CHUNK_ON_CPU)
    stack.enter_context(mock.patch.object(logprobs, "_CHUNK_ON_CPU", chunk))
    if os.environ["RANK"] == str(case.pop("fault_on", None)):
        stack.enter_context(mock.patch.object(check, "_other_logps", return_value="made to differ"))
    stop_at, kill_saving = case.pop("stop_at", None), case.pop("kill_saving", None)
    loss = ForestTrainer.compute_loss

    def stopping(self: Any, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        if self.state.global_step + 1 == stop_at:
            raise InterruptedError(f"step {stop_at}")
        places = [tree.place for tree in inputs["row"]["trees"]] if inputs["planned"].weight else []
        with open(Path(self.args.output_dir) / f"trained-{os.environ['RANK']}.jsonl", "a") as stream:
            stream.write(json.dumps([self.state.global_step + 1, places]) + "\n")
        return loss(self, model, inputs, *args, **kwargs)

    def killing(path: Path, *args: Any) -> None:
        if path.parent.name == f"checkpoint-{kill_saving}":
            os.kill(os.getpid(), signal.SIGKILL)
        write_json(path, *args)

    stack.enter_context(mock.patch.object(ForestTrainer, "compute_loss", stopping))
    stack.enter_context(mock.patch("trainers.trainer.write_json", killing))
    return stack


if __name__ == "__main__":
    main()
