"""Slurm's variables become those of torch.distributed."""

import pytest

from prefdata.errors import PrefdataError
from trainers.slurm import place

TASK = {
    "SLURM_STEP_NUM_TASKS": "16", "SLURM_PROCID": "9", "SLURM_LOCALID": "1", "SLURM_STEP_NODELIST": "gpu[07-08]",
    "SLURM_JOB_ID": "4711",
}  # fmt: skip


def test_a_task_knows_its_place() -> None:
    assert place(TASK) == {
        "RANK": "9", "LOCAL_RANK": "1", "WORLD_SIZE": "16", "MASTER_ADDR": "gpu07", "MASTER_PORT": "19711",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("nodes", "first"),
    [
        ("gpu07", "gpu07"),
        ("a1,b[2-3]", "a1"),
        ("node[3,7-9],other", "node3"),
        ("r[1-2]n4", "r1n4"),
        ("n-01.x", "n-01.x"),
    ],
)
def test_the_first_host_leads(nodes: str, first: str) -> None:
    assert place(TASK | {"SLURM_STEP_NODELIST": nodes})["MASTER_ADDR"] == first


def test_an_address_of_the_user_stays() -> None:
    assert place(TASK | {"MASTER_ADDR": "here", "MASTER_PORT": "1"})["MASTER_ADDR"] == "here"


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"SLURM_NTASKS": "16", "SLURM_PROCID": "0"},  # the batch script itself, outside srun
        TASK | {"SLURM_STEP_NUM_TASKS": "1"},
        TASK | {"LOCAL_RANK": "1"},  # torchrun under srun
    ],
)
def test_a_process_that_srun_did_not_multiply_stays_alone(environ: dict[str, str]) -> None:
    assert place(environ) == {}


def test_tasks_that_cannot_be_told_apart_are_refused() -> None:
    with pytest.raises(PrefdataError, match="srun started 16 tasks, and SLURM_PROCID does not say"):
        place({name: value for name, value in TASK.items() if name != "SLURM_PROCID"})
