"""Let torchvision import on a CPU-only torch, in test environments alone.

torchvision's compiled half belongs to one torch build. On a CPU-only torch beside a CUDA torchvision it cannot be
loaded, and `import torchvision` then stops at two operators that nobody defined. Defining them empty is enough for
everything the tests use (`torchvision.transforms.v2`); on users' machines both packages match and nothing of this is
needed, so it lives here and the product never knows of it.

    .venv/bin/python tests/support/torchvision_on_cpu.py

copies this file into that environment together with a `.pth` file, so that every process of the environment has it:
vLLM starts workers of its own, which a fixture would not reach.
"""

import importlib.metadata
import shutil
import site
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

MODULE = "_torchvision_on_cpu"
SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_kept: list[Any] = []  # an operator lives only as long as its Library object


def define_operators() -> None:
    """Define torchvision's two operators unless its own compiled half is going to."""
    import torch

    if torch.version.cuda or torch.version.hip:
        return
    try:
        built_for_cpu = importlib.metadata.version("torchvision").endswith("+cpu")
    except importlib.metadata.PackageNotFoundError:
        return
    if built_for_cpu:
        return
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(name + SCHEMA)
    _kept.append(library)


class BeforeTorchvision(MetaPathFinder):
    """Finds nothing; is asked first, and uses the occasion once."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            define_operators()
        return None


def install_into_this_environment() -> None:
    """Copy this file and a `.pth` file that imports it at start-up into the running environment."""
    if sys.prefix == sys.base_prefix:
        raise SystemExit("torchvision_on_cpu: run this with the Python of a virtual environment.")
    folder = Path(site.getsitepackages()[0])
    shutil.copyfile(__file__, folder / f"{MODULE}.py")
    (folder / f"{MODULE}.pth").write_text(f"import {MODULE}\n")


if __name__ == "__main__":
    install_into_this_environment()
elif __name__ == MODULE:
    sys.meta_path.insert(0, BeforeTorchvision())
