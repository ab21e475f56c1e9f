"""Compile the C files of prefdata while a wheel (or an editable installation) is made.

The compiled parts are optional: where there is no C compiler the wheel is built without them, and validation,
conversion and `mix write` are slower. The stable ABI is used, so one build serves every Python from 3.11 on.
"""

import shlex
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]
    """One call per source of the compiler that built Python."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say so when it cannot be done."""
        for name in ("_rowscan", "_splice", "_order", "_scatter"):
            self._compile(Path(self.root, "prefdata", f"{name}.c"), build_data)

    def _compile(self, source: Path, build_data: dict[str, Any]) -> None:
        target = source.with_suffix(".abi3.so")
        compiler = shlex.split(sysconfig.get_config_var("CC") or "cc")
        bundle = ["-bundle", "-undefined", "dynamic_lookup"] if sys.platform == "darwin" else ["-shared"]
        command = [*compiler, "-O3", "-fPIC", *bundle, f"-I{sysconfig.get_path('include')}"]
        try:
            subprocess.run([*command, str(source), "-o", str(target)], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError) as error:
            self.app.display_warning(f"prefdata: built without {source.name} ({error})")
            return
        build_data["artifacts"].append(f"prefdata/{target.name}")
        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{_platform()}"


def _platform() -> str:
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")
