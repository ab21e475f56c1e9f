"""The arrows between the packages, and where heavy libraries may be imported; read from the source, not from a run."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("prefdata", "pipelines", "trainers")
FORBIDDEN = {
    "prefdata": {"pipelines", "trainers"},
    "pipelines": {"trainers"},
    "trainers": {"pipelines"},
}
# Seconds each to import; a command that does not need them must not pay for them.
HEAVY = {"torch", "transformers", "vllm", "lmdeploy", "deepspeed", "peft", "accelerate", "datasets", "ray"}

SOURCES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
LIGHT = [
    p
    for p in SOURCES
    if p.relative_to(ROOT).parts[0] == "prefdata" or p.relative_to(ROOT).parts[1] in ("cli", "cli.py")
]


def imported_names(nodes: Iterator[ast.AST]) -> set[str]:
    """Top-level names of the packages that these nodes import."""
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def at_import_time(node: ast.AST) -> Iterator[ast.AST]:
    """All nodes that run when the module is imported: not inside functions, nor under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from at_import_time(child)


def relative(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_import_against_the_arrows(path: Path) -> None:
    tree = ast.parse(path.read_text())
    package = path.relative_to(ROOT).parts[0]
    assert not imported_names(ast.walk(tree)) & FORBIDDEN[package]


@pytest.mark.parametrize("path", LIGHT, ids=relative)
def test_no_heavy_import_at_module_level(path: Path) -> None:
    tree = ast.parse(path.read_text())
    assert not imported_names(at_import_time(tree)) & HEAVY


def test_the_reader_of_imports_sees_what_it_should() -> None:
    heavy_class = "class A:\n    import vllm\n"
    later = "def f():\n    import ray\nif TYPE_CHECKING:\n    import peft\n"
    tree = ast.parse("import torch.nn\n" + heavy_class + later)
    assert imported_names(at_import_time(tree)) == {"torch", "vllm"}
    assert imported_names(ast.walk(tree)) == {"torch", "vllm", "ray", "peft"}
