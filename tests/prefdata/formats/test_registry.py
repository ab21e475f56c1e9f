"""Formats of other packages: found by entry point, read only when needed, and never in the place of a built-in one."""

import importlib.metadata
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from prefdata import formats
from prefdata.errors import PrefdataError
from prefdata.formats.mmpr import Mmpr
from prefdata.sniff import sniff


class Tidy(Mmpr):
    """A format as another package might bring it."""

    id = "tidy"

    def recognise(self, row: dict[str, Any]) -> str | None:
        """By a key of its own."""
        return "`tidy_question`" if "tidy_question" in row else None


class Asked:
    """Stands in for `importlib.metadata.entry_points` and counts how often it is asked."""

    def __init__(self, *points: EntryPoint) -> None:
        self.points, self.times = points, 0

    def __call__(self, *, group: str) -> tuple[EntryPoint, ...]:
        assert group == "prefdata.formats"
        self.times += 1
        return self.points


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    def add(name: str, value: str) -> Asked:
        asked = Asked(EntryPoint(name, value, "prefdata.formats"))
        monkeypatch.setattr(importlib.metadata, "entry_points", asked)
        forget()
        return asked

    yield add
    monkeypatch.undo()
    forget()


def forget() -> None:
    formats.get.cache_clear()
    formats._entries.cache_clear()


def test_a_format_of_another_package(install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "tidy_package", sys.modules[__name__])
    install("tidy", "tidy_package:Tidy")
    assert formats.get("tidy").title == Mmpr.title
    assert formats.ids()[-1] == "tidy"
    path = tmp_path / "rows.jsonl"
    path.write_text('{"tidy_question":"Q"}')
    assert (sniff(path).format, sniff(path).reason) == ("tidy", "`tidy_question`")


def test_built_in_names_do_not_ask(install: Any, tmp_path: Path) -> None:
    asked = install("mmpr", "nowhere:Nothing")
    path = tmp_path / "rows.jsonl"
    path.write_text('{"question":"Q","chosen":"a","rejected":"b"}')
    assert formats.get(sniff(path).format).id == "mmpr"
    assert asked.times == 0
    assert formats.ids().count("mmpr") == 1


@pytest.mark.parametrize(
    ("value", "sentence"),
    [("nowhere:Nothing", "cannot be loaded"), ("pathlib:Path", "is not a prefdata format")],
)
def test_a_broken_one_is_named(install: Any, value: str, sentence: str) -> None:
    install("broken", value)
    with pytest.raises(PrefdataError, match=sentence):
        formats.get("broken")


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(PrefdataError, match="known formats: mmpr, trl, "):
        formats.get("mmrp")


def test_a_format_is_imported_when_it_is_asked_for() -> None:
    import subprocess
    import sys

    script = (
        "import sys; from prefdata.formats import get; get('mmpr');"
        "print([name for name in sys.modules if name.startswith('prefdata.formats.sw')])"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[]"
