"""Starts the training processes and prints the one line of result.

Where it stands: between the command and `run.py`. One process runs here; `--nproc N` starts N of this program with
torchrun's environment variables; under torchrun, deepspeed or another launcher that sets them, and under srun, this
process is one of theirs.

The decision to question: `--nproc` starts plain processes instead of torchrun. Nothing of torchrun's (elastic
restarts, rendezvous over machines) is wanted on one machine, and this way a mistake in the data is one sentence and
an exit code instead of N tracebacks.
"""

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TextIO

import msgspec

from prefdata.cli.config import set_verbosity
from prefdata.errors import EXIT_DATA, PrefdataError, from_os_error
from prefdata.jsonl import write_json
from prefdata.mixtures import load
from prefdata.models import model_folder, resolve_model
from trainers import given, needs, slurm
from trainers.config import TrainConfig

_POLL_SECONDS = 0.2
_ERROR_FILE = "PREFDATA_ERROR_FILE"


def launch(config: TrainConfig) -> int:
    """Train in this process, or start `--nproc` of them; the result goes to standard output."""
    os.environ.update(slurm.place(os.environ))
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        if not os.environ.get(name, "0").isdecimal():
            raise PrefdataError(
                f"{name}={os.environ[name]}: a whole number is needed; unset it, or start with torchrun."
            )
    # A name that is wrong is told before torch is imported or a process started, which takes half a minute.
    path = resolve_model(config.model)
    needs.refuse_settings(config)
    if _ERROR_FILE not in os.environ and not int(os.environ.get("RANK", "0")):  # once, not by every process
        needs.warn_of_rate(config)
    _refuse_second_launcher(config)
    folder = model_folder(path)
    if folder is not None:
        given.refuse_adapter(config.model, folder)
        given.refuse_own_code(config.model, given.settings_of(config.model, folder))
    load(Path(config.data), Path(config.image_root) if config.image_root else None)
    if config.nproc > 1 and "LOCAL_RANK" not in os.environ:
        return _start(config)
    if int(os.environ.get("RANK", "0")):
        set_verbosity(quiet=True, verbose=False)  # one process speaks for all
    try:
        with environment(config), result_only() as out:
            from trainers.run import run

            with memory_in_a_sentence(config):
                result = run(config)
            if result is not None:
                out.write(msgspec.json.encode(result).decode() + "\n")
    except (PrefdataError, OSError) as error:
        if int(os.environ.get("WORLD_SIZE", "1")) == 1 or _ERROR_FILE in os.environ:
            raise
        problem = from_os_error(error) if isinstance(error, OSError) else error
        # Started by torchrun or the like. The others wait in a collective until this process is gone, and an orderly
        # end would wait for them.
        print(f"error: {problem}", file=sys.stderr, flush=True)  # noqa: T201 - the program's own way is not reached
        os._exit(problem.exit_code)
    return 0


def _refuse_second_launcher(config: TrainConfig) -> None:
    """`--nproc` under a launcher that starts another number of processes here: it would be ignored."""
    started = os.environ.get("LOCAL_WORLD_SIZE", os.environ.get("WORLD_SIZE", "1"))
    ours = _ERROR_FILE in os.environ
    if "LOCAL_RANK" in os.environ and config.nproc > 1 and not ours and str(config.nproc) != started:
        raise PrefdataError(
            f"--nproc {config.nproc}: this process is one of {started} that a launcher has started here; leave --nproc "
            "out, and give the launcher the number."
        )


def worker() -> None:
    """One of the processes of `--nproc`: settings as JSON in the first argument."""
    config = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=TrainConfig)
    set_verbosity(quiet="--quiet" in sys.argv, verbose=False)
    try:
        sys.exit(launch(config))
    except (PrefdataError, OSError) as error:
        problem = from_os_error(error) if isinstance(error, OSError) else error
        write_json(Path(os.environ[_ERROR_FILE]), {"message": str(problem), "code": problem.exit_code})
        # Without waiting for peers: they hang in a collective until this process is gone.
        os._exit(problem.exit_code)


@contextmanager
def memory_in_a_sentence(config: TrainConfig) -> Iterator[None]:
    """Say what to lower when the memory of the device or of the machine runs out."""
    import torch

    try:
        yield
    except (RuntimeError, MemoryError) as error:
        said = " ".join(str(error).split())
        if (
            not isinstance(error, torch.OutOfMemoryError | MemoryError)
            and "can't allocate memory" not in said
        ):
            raise
        remedies = [f"lower --max-tokens (now {config.max_tokens})"]
        if not config.gradient_checkpointing:
            remedies.append("add --gradient-checkpointing")
        if config.deepspeed in ("none", "zero1", "zero2"):
            remedies.append("cut the model over more GPUs with --deepspeed zero3")
        if not config.lora_rank:
            remedies.append("train adapters with --lora-rank 64")
        raise PrefdataError(
            f"Out of memory ({said[:120]}); {', or '.join(remedies)}.", exit_code=EXIT_DATA
        ) from error


@contextmanager
def result_only() -> Iterator[TextIO]:
    """Send everything that libraries print to standard error; the stream given is the real standard output."""
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        with open(real, "w", encoding="utf-8", closefd=False) as out:
            yield out
    finally:
        sys.stdout.flush()
        os.dup2(real, 1)
        os.close(real)


@contextmanager
def environment(config: TrainConfig) -> Iterator[None]:
    """What torch.distributed and DeepSpeed read from the environment, for one process without a launcher."""
    import torch

    before = dict(os.environ)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")
    if "LOCAL_RANK" not in os.environ and config.deepspeed != "none":
        place = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        os.environ.update(place, MASTER_ADDR="127.0.0.1", MASTER_PORT=str(_free_port()))
    try:
        yield
    finally:
        # Ours and what the libraries set themselves: the next run of this program must find neither this run's place in
        # a group of processes nor its choice of DeepSpeed.
        os.environ.clear()
        os.environ.update(before)
        if config.deepspeed != "none":
            from transformers.integrations.deepspeed import unset_hf_deepspeed_config

            unset_hf_deepspeed_config()


def _start(config: TrainConfig) -> int:
    from prefdata.progress import log

    if find_spec("torch") is None:  # said once, not by every process
        raise ModuleNotFoundError("torch is not installed", name="torch")
    quiet = [] if log.isEnabledFor(20) else ["--quiet"]
    with tempfile.TemporaryDirectory(prefix="prefdata-train-") as folder:
        settings, problem = Path(folder) / "config.json", Path(folder) / "error.json"
        write_json(settings, msgspec.to_builtins(config))
        shared = {
            "WORLD_SIZE": str(config.nproc),
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(_free_port()),
            _ERROR_FILE: str(problem),
        }
        threads = str(max(1, (os.cpu_count() or 1) // config.nproc))
        processes = [
            subprocess.Popen(
                [sys.executable, "-c", "from trainers.launch import worker; worker()", str(settings), *quiet],
                env={
                    "OMP_NUM_THREADS": threads,
                    **os.environ,
                    **shared,
                    "RANK": str(rank),
                    "LOCAL_RANK": str(rank),
                },
            )
            for rank in range(config.nproc)
        ]
        code = _wait(processes)
        if problem.is_file():
            error = msgspec.json.decode(problem.read_bytes())
            raise PrefdataError(error["message"], exit_code=error["code"])
    if code:
        raise PrefdataError(
            f"A training process ended with code {code}; its last lines above say why.", exit_code=EXIT_DATA
        )
    return 0


def _wait(processes: list[subprocess.Popen[bytes]]) -> int:
    """Wait for all; when one fails or the user stops the run, end the others."""
    try:
        while True:
            codes = [process.poll() for process in processes]
            failed = next((code for code in codes if code), None)
            if failed is not None:
                return failed
            if all(code == 0 for code in codes):
                return 0
            time.sleep(_POLL_SECONDS)
    finally:
        for process in processes:
            if process.poll() is None:
                process.terminate()
        for process in processes:
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
