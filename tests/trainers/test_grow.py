"""Rows are tokenised once: a second start reads them, and anything they depend on makes it tokenise again."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from prefdata.errors import PrefdataError
from tests.support.forests import config
from tests.support.program import prefdata
from trainers import build, families, grow, keys, sowing
from trainers.pixels import PixelStore
from trainers.trees import Branch, Tree
from trainers.treestore import TreeStore, decode, encode, writing


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Places of the rows that were tokenised."""
    places: list[str] = []
    original = build.TreeMaker.tree

    def counted(self: Any, record: Any, place: str, *rest: Any) -> Tree:
        places.append(place)
        return original(self, record, place, *rest)

    monkeypatch.setattr(build.TreeMaker, "tree", counted)
    return places


def grown(model: Path, data: Path, cache: Path, **settings: Any) -> grow.Grown:
    opened = families.open_model(str(model))
    return grow.grow(config(model, data, tree_cache=str(cache), **settings), opened, PixelStore(opened))


def test_trees_survive_the_disk() -> None:
    whole = Tree(
        "rows.jsonl:3", (5, 70000, 0), (Branch((1, 2), (True, False), 2), Branch((3,), (True,), 0, whole=True)),
        ((0, 1),), (Path("a/b.png"), b"\x89PNG"), (0.5,),
    )  # fmt: skip
    assert decode(encode(whole)) == whole
    assert decode(encode(whole)).measure == whole.measure


def test_a_second_start_reads(models: dict[str, Path], pairs: Path, tmp_path: Path, made: list[str]) -> None:
    first = grown(models["llava"], pairs, tmp_path)
    assert len(made) == len(first.trees) == 10
    second = grown(models["llava"], pairs, tmp_path)
    assert len(made) == 10
    assert list(second.trees) == list(first.trees)
    assert second.rows == first.rows
    assert [len(list(tmp_path.glob("*.cache"))), len(list(tmp_path.glob("*.tmp")))] == [1, 0]


def test_what_trees_depend_on_makes_them_anew(
    models: dict[str, Path], pairs: Path, tmp_path: Path, made: list[str]
) -> None:
    """The rows, the limit, the stage, the template, the processor's settings and the pictures."""
    model, data, cache = tmp_path / "model", tmp_path / "data", tmp_path / "cache"
    shutil.copytree(models["llava"], model)
    shutil.copytree(pairs.parent, data)
    rows = data / "pairs.jsonl"

    def again(**settings: Any) -> int:
        before = len(made)
        grown(model, rows, cache, **settings)
        return len(made) - before

    assert again() == 10
    assert again() == 0
    assert again(max_length=300) == 10
    assert again(stage="sft") == 10
    assert again(stage="dpo", beta=0.5, batch_size=8) == 0
    lines = rows.read_text().splitlines()
    rows.write_text("\n".join(lines[:9]) + "\n")
    assert again() == 9
    Image.new("RGB", (32, 16)).save(data / "1.png")
    assert again() == 9
    settings = model / "preprocessor_config.json"
    if not settings.is_file():
        settings = model / "processor_config.json"
    text = settings.read_text()
    assert '"do_rescale": true' in text
    settings.write_text(text.replace('"do_rescale": true', '"do_rescale": false'))
    assert again() == 9
    template = model / "chat_template.jinja"
    template.write_text(template.read_text().replace("<|im_end|>\n", "<|im_end|>"))
    assert again() == 9
    assert again() == 0


@pytest.mark.parametrize("harm", ["torn", "other"])
def test_a_broken_cache_is_made_again(
    harm: str, models: dict[str, Path], text_pairs: Path, tmp_path: Path, made: list[str]
) -> None:
    grown(models["llama"], text_pairs, tmp_path)
    (path,) = tmp_path.glob("*.cache")
    path.write_bytes(path.read_bytes()[:-30] if harm == "torn" else b"something else")
    assert len(grown(models["llama"], text_pairs, tmp_path).trees) == 10
    assert len(made) == 20


def test_a_stopped_writer_leaves_no_cache(tmp_path: Path) -> None:
    tree = Tree("a:1", (1,), (Branch((2,), (True,)),))

    def stopped() -> None:
        with writing(tmp_path / "trees.cache") as writer:
            writer.add(encode(tree), tree.measure)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped()
    assert list(tmp_path.iterdir()) == []


def test_rows_left_out_are_remembered_and_listed(
    models: dict[str, Path], text_pairs: Path, tmp_path: Path, made: list[str]
) -> None:
    data = tmp_path / "rows.jsonl"
    same = json.dumps({"question": "a", "chosen": "b", "rejected": "b"})
    data.write_text(text_pairs.read_text() + same + "\n")
    for _ in range(2):
        skipped = grown(models["llama"], data, tmp_path, on_bad_row="skip")
        skipped.write_left_out(tmp_path)
        (line,) = (tmp_path / grow.LEFT_OUT).read_text().splitlines()
        assert json.loads(line)["place"] == f"{data}:11"
        assert "two equal answers" in json.loads(line)["reason"]
    assert len(made) == 11
    with pytest.raises(PrefdataError, match=r"rows\.jsonl:11: has two equal answers"):
        grown(models["llama"], data, tmp_path)


def test_workers_give_the_same_trees_in_the_same_order(
    models: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Processes that take over in the middle of the data, with a row that is left out and one that cannot be read."""
    data = tmp_path / "many.jsonl"
    rows = [{"question": f"{n}?", "chosen": f"yes {n}", "rejected": "no" * (n % 7 + 1)} for n in range(60)]
    rows[41]["chosen"] = rows[41]["rejected"]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setattr(sowing, "_ROWS", 8)
    monkeypatch.setattr(sowing, "_WORTH_WORKERS_SECONDS", 0.0)
    settings: dict[str, Any] = {"on_bad_row": "skip", "seed": 1}
    alone = grown(models["llama"], data, tmp_path / "alone", num_workers=0, **settings)
    together = grown(models["llama"], data, tmp_path / "together", num_workers=2, **settings)
    assert len(alone.trees) == 59
    assert list(together.trees) == list(alone.trees)
    assert together.left_out == alone.left_out
    data.write_text(data.read_text() + "{broken\n")
    with pytest.raises(PrefdataError, match=r"many\.jsonl:61"):
        grown(models["llama"], data, tmp_path / "broken", num_workers=2, **settings)


def test_the_second_of_two_processes_waits_and_reads(
    models: dict[str, Path],
    text_pairs: Path,
    tmp_path: Path,
    made: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from threading import Thread

    original = grow._tokenise

    def slowly(*args: Any) -> None:
        original(*args)
        time.sleep(0.3)

    monkeypatch.setattr(grow, "_tokenise", slowly)
    threads = [Thread(target=grown, args=(models["llama"], text_pairs, tmp_path)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 10


def test_a_store_is_a_sequence_read_on_demand(tmp_path: Path) -> None:
    trees = [Tree(f"a:{n}", (n,), (Branch((2,), (True,)),)) for n in range(5)]
    with writing(tmp_path / "trees.cache") as writer:
        for tree in trees:
            writer.add(encode(tree), tree.measure)
        writer.finish({"note": 1})
    store = TreeStore(tmp_path / "trees.cache")
    assert store[1:4] == trees[1:4]
    assert store[-1] == trees[-1]
    with pytest.raises(IndexError):
        store[5]
    assert [one.key for one in store.measures] == [tree.key for tree in trees]


def test_a_picture_that_changes_under_a_run_is_named(family: Any, tmp_path: Path) -> None:
    """A wider picture would have more tiles than its prompt has places for."""
    Image.new("RGB", (16, 16), "red").save(tmp_path / "a.png")
    data = tmp_path / "rows.jsonl"
    data.write_text(
        json.dumps({"image": "a.png", "question": "Colour?", "chosen": "Red", "rejected": "Blue"}) + "\n"
    )
    (tree,) = grown(family("internvl"), data, tmp_path / "cache").trees
    store = PixelStore(families.open_model(str(family("internvl"))))
    Image.new("RGB", (600, 100), "red").save(tmp_path / "a.png")
    with pytest.raises(
        PrefdataError, match=r"rows\.jsonl:1: its images make \d+ image tokens and its prompt has"
    ):
        store.load(tree)
    (tmp_path / "a.png").unlink()
    with pytest.raises(PrefdataError, match=r"rows\.jsonl:1: has an image that can no longer be read"):
        store.load(tree)


def test_image_tokens_without_features_are_named(models: dict[str, Path], pairs: Path) -> None:
    from dataclasses import replace

    from tests.support import forests
    from trainers.logprobs import token_logps

    grove = forests.grow(models["llava"], pairs)
    tree = grove.trees[0]
    grove.maker.pixels.load(tree)  # on a busy machine rows are read in workers, which leave no pixels here
    broken = replace(tree, trunk=(*tree.trunk, grove.opened.image_token_id or 0))
    with pytest.raises(PrefdataError, match=rf"other image features than the rows {tree.place} have"):
        token_logps(grove.model, grove.head, grove.maker.make([broken]))


def test_a_processor_is_known_by_its_settings(models: dict[str, Path]) -> None:
    """The name under which trees and reference log-probabilities are kept."""
    same, other, text = (families.open_model(str(models[kind])) for kind in ("llava", "llava", "llama"))
    name = keys.processor_key(same)
    assert name == keys.processor_key(families.open_model(str(models["llava"]))) != keys.processor_key(text)
    other.processor.image_processor.image_mean = [0.1, 0.1, 0.1]
    assert keys.processor_key(other) != name
    split = families.open_model(str(models["llava"]))
    split.processor.num_additional_image_tokens += 1
    assert keys.processor_key(split) != name
    same.tokenizer.add_tokens(["<extra>"])
    assert keys.processor_key(same) != name


@pytest.mark.parametrize("name", ["ixc-reward", "lf-sharegpt", "swift", "trl"])
def test_the_same_pairs_in_another_format_are_the_same_trees(
    name: str, models: dict[str, Path], pairs: Path, tmp_path: Path
) -> None:
    other = tmp_path / f"{name}.jsonl"
    done = prefdata("convert", pairs, other, "--to", name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    root = str(pairs.parent)
    made = [grown(models["llava"], path, tmp_path, image_root=root).trees for path in (pairs, other)]
    contents = [[(tree.trunk, tree.branches, tree.pairs) for tree in trees] for trees in made]
    assert contents[0] == contents[1]
