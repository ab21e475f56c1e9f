"""The place of a process among those that `srun` started, in the variables that torch.distributed reads.

Where it stands: `launch.py` asks before it counts processes. The decision to question: only a job *step* counts. In a
batch script outside `srun`, SLURM_NTASKS says how many tasks might be started, while this process is alone.
"""

import re
from collections.abc import Mapping
from typing import Final

from prefdata.errors import PrefdataError

_NEEDED: Final = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_STEP_NODELIST", "SLURM_JOB_ID")
_FIRST_HOST: Final = re.compile(r"([^\[,]+)(?:\[(\w+)[^\]]*\]([^\[,]*))?")
_FIRST_PORT: Final = 15_000
_PORTS: Final = 10_000
"""Below the ports that systems hand out, one per job: two jobs on one machine must not meet."""


def place(environ: Mapping[str, str]) -> dict[str, str]:
    """RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR and MASTER_PORT of this task; empty where srun started one or none."""
    tasks = environ.get("SLURM_STEP_NUM_TASKS", "1")
    if tasks == "1" or "LOCAL_RANK" in environ:
        return {}
    missing = [name for name in _NEEDED if name not in environ]
    host = _FIRST_HOST.match(environ.get("SLURM_STEP_NODELIST", ""))
    if missing or host is None:
        raise PrefdataError(
            f"srun started {tasks} tasks, and {' and '.join(missing) or 'SLURM_STEP_NODELIST'} does not say where this "
            "one stands; start one task per machine with torchrun, or set RANK, LOCAL_RANK, WORLD_SIZE, MASTER_ADDR "
            "and MASTER_PORT."
        )
    return {
        "RANK": environ["SLURM_PROCID"],
        "LOCAL_RANK": environ["SLURM_LOCALID"],
        "WORLD_SIZE": tasks,
        "MASTER_ADDR": environ.get("MASTER_ADDR", "".join(part or "" for part in host.groups())),
        "MASTER_PORT": environ.get(
            "MASTER_PORT", str(_FIRST_PORT + _number(environ["SLURM_JOB_ID"]) % _PORTS)
        ),
    }


def _number(job: str) -> int:
    return int(job) if job.isdecimal() else 0
