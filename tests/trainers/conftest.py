"""Tiny random models and pairs, made once per session."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")
os.environ.setdefault("DS_ACCELERATOR", "cpu")

from tests.support import forests, tiny_families, tiny_models


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders of tiny models by family."""
    base = tmp_path_factory.mktemp("models")
    made = {kind: tiny_models.save_text_model(base / kind, kind) for kind in ("llama", "qwen2", "qwen3")}
    return made | {"llava": tiny_models.save_llava(base / "llava")}


@pytest.fixture(scope="session")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 10 pairs with images."""
    return tiny_models.write_pairs(tmp_path_factory.mktemp("pairs"), 10, images=True)


@pytest.fixture(scope="session")
def text_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 10 pairs of text."""
    return tiny_models.write_pairs(tmp_path_factory.mktemp("text-pairs"), 10, images=False)


@pytest.fixture(scope="session")
def family(tmp_path_factory: pytest.TempPathFactory, models: dict[str, Path]) -> Callable[[str], Path]:
    """The folder of a tiny model of any family, made when it is first asked for."""
    made = dict(models)

    def folder(kind: str) -> Path:
        if kind not in made:
            made[kind] = tiny_families.MAKERS[kind](tmp_path_factory.mktemp("families") / kind)
        return made[kind]

    return folder


@pytest.fixture(scope="session")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of 6 pairs: with one image, with two, of several shapes, without."""
    return tiny_families.write_pictured_pairs(tmp_path_factory.mktemp("pictured"))


@pytest.fixture(scope="session")
def grove_of(
    family: Callable[[str], Path], pictured: Path, text_pairs: Path
) -> Callable[[str], forests.Grove]:
    """A fresh model of a family with its trees: of text, or with images of several shapes and one without."""
    grown: dict[str, forests.Grove] = {}

    def plant(kind: str) -> forests.Grove:
        if kind not in grown:
            grown[kind] = forests.grow(
                family(kind), pictured if kind in tiny_families.PICTURED else text_pairs
            )
            return grown[kind]
        return forests.plant(grown[kind].opened, grown[kind].maker.pixels, grown[kind].trees)

    return plant
