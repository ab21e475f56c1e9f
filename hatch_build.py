"""Compile prefdata/_rowscan.c while a wheel (or an editable installation) is made.

The compiled part is optional: where there is no C compiler the wheel is built without it and validation is slower. The
stable ABI is used, so one build serves every Python from 3.11 on.
"""

import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class RowscanHook(BuildHookInterface):  # type: ignore[type-arg]
    """One call of the compiler that built Python."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say so when it cannot be done."""
        source = Path(self.root, "prefdata", "_rowscan.c")
        target = source.with_name("_rowscan.abi3.so")
        compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
        bundle = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
        command = [*compiler, "-O3", "-fPIC", *bundle, f"-I{sysconfig.get_path('include')}"]
        try:
            subprocess.run([*command, str(source), "-o", str(target)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"prefdata: built without the compiled row scanner ({error})")
            return
        build_data["artifacts"].append("prefdata/_rowscan.abi3.so")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{_platform()}"


def _platform() -> str:
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
