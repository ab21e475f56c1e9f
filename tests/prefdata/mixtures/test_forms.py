"""Every form of a mixture's file, read leniently and written strictly."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from prefdata.errors import PrefdataError
from prefdata.mixtures import load
from prefdata.mixtures.compat import compat_rows
from prefdata.mixtures.counts import share_of
from prefdata.mixtures.write import write_mixture

ROW = '{"question":"Q","chosen":"a","rejected":"b"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, rows in (("a", 10), ("b", 4), ("with space", 3)):
        (tmp_path / f"{name}.jsonl").write_text(ROW * rows)
    (tmp_path / "img").mkdir()
    return tmp_path


def test_data_txt_with_everything_strange(folder: Path) -> None:
    (folder / "data.txt").write_text(
        '# comment\na.jsonl\t0.02\n\n"with space.jsonl" 0.003 img\na.jsonl  0.5\nb.jsonl\n'
    )
    mixture = load(folder / "data.txt")
    assert mixture.kind == "data.txt"
    assert [(s.name, s.count, s.root) for s in mixture.sources] == [
        ("a", Decimal("20"), None),
        ("with space", Decimal("3"), folder / "img"),
        ("a", Decimal("500"), None),
        ("b", None, None),
    ]
    assert any(
        note.startswith(f"{folder / 'data.txt'}:2: columns not separated by one space")
        for note in mixture.notes
    )
    assert any("listed more than once" in note for note in mixture.notes)
    with pytest.raises(PrefdataError, match="--compat xcomposer"):
        list(compat_rows(mixture, 0, [10, 3, 10, 4], "xcomposer"))


@pytest.mark.parametrize("number", ["-1", "0", "nan", "many"])
def test_data_txt_with_no_number(folder: Path, number: str) -> None:
    (folder / "data.txt").write_text(f"a.jsonl 1\nb.jsonl {number}\n")
    with pytest.raises(PrefdataError, match=r"data\.txt:2: "):
        load(folder / "data.txt")


def test_xtuners_own_example_of_three_paths(folder: Path) -> None:
    (folder / "x.yaml").write_text(
        'data_paths: [a.jsonl, b.jsonl, "with space.jsonl"]\nimage_folders: [img, null, img]\n'
    )
    mixture = load(folder / "x.yaml")
    assert [source.repeat_time for source in mixture.sources] == [1, 1, 1]
    assert [source.root for source in mixture.sources] == [folder / "img", None, folder / "img"]
    with pytest.raises(
        PrefdataError, match="no `repeat_times` stands for all 3 paths; XTuner asserts equal lengths"
    ):
        list(compat_rows(mixture, 0, [10, 4, 3], "xtuner"))


def test_xtuner_scalars_and_wrong_lengths(folder: Path) -> None:
    (folder / "x.yaml").write_text("data_paths: a.jsonl\nimage_folders: img\nrepeat_times: 3.5\n")
    (source,) = load(folder / "x.yaml").sources
    assert (source.repeat_time, source.root) == (Decimal("3.5"), folder / "img")
    (folder / "x.yaml").write_text("data_paths: [a.jsonl, b.jsonl, a.jsonl]\nrepeat_times: [1, 2]\n")
    with pytest.raises(PrefdataError, match="3 data_paths but 2 repeat_times"):
        load(folder / "x.yaml")


def test_dataset_info(folder: Path) -> None:
    (folder / "dataset_info.json").write_text(
        '{"mine": {"file_name": "a.jsonl", "num_samples": 25, "ranking": true},'
        ' "far": {"hf_hub_url": "org/data"}}'
    )
    mixture = load(folder / "dataset_info.json")
    (source,) = mixture.sources
    assert (source.name, source.count, source.extra) == ("mine", Decimal(25), {"ranking": True})
    assert "'far' is not a local file (hf_hub_url) and is left out" in mixture.notes[0]


def test_counted_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "list.txt").write_text("a.jsonl#25\nb.jsonl\n")
    mixture = load(folder / "list.txt")
    assert [(source.name, source.count) for source in mixture.sources] == [("a", Decimal(25)), ("b", None)]
    monkeypatch.chdir(folder)
    (one,) = load(Path("a.jsonl#7")).sources
    assert (one.annotation, one.count) == (Path("a.jsonl"), Decimal(7))


def test_own_form_refuses_what_it_does_not_know(folder: Path) -> None:
    (folder / "m.yaml").write_text("sources:\n- {path: a.jsonl, repeat: 2}\n")
    with pytest.raises(PrefdataError, match="source 1: unknown key `repeat`"):
        load(folder / "m.yaml")
    (folder / "m.yaml").write_text("sources:\n- {path: a.jsonl, factor: 2, count: 3}\n")
    with pytest.raises(PrefdataError, match="exclude each other"):
        load(folder / "m.yaml")


@pytest.mark.parametrize("target", ["meta", "data.txt", "xtuner", "dataset-info", "swift", "prefdata"])
def test_every_form_keeps_the_rows_of_an_epoch(folder: Path, target: str) -> None:
    (folder / "m.yaml").write_text(
        "sources:\n- {path: a.jsonl, count: 23, root: img, max_dynamic_patch: 6}\n- {path: b.jsonl, factor: 1.5}\n"
    )
    mixture = load(folder / "m.yaml")
    lost = write_mixture(folder / "out", mixture, target, [10, 4])  # type: ignore[arg-type]
    again = load(folder / "out")
    assert [share_of(s, have).want for s, have in zip(again.sources, [10, 4], strict=True)] == [23, 6]
    assert [source.annotation for source in again.sources] == [
        source.annotation for source in mixture.sources
    ]
    assert any("max_dynamic_patch" in sentence for sentence in lost) == (target not in ("meta", "prefdata"))
    if target in ("meta", "xtuner", "prefdata"):
        assert again.sources[0].root == folder / "img"
    else:
        assert f"a: the image root {folder / 'img'}" in lost


def test_own_form_holds_everything(folder: Path) -> None:
    (folder / "m.yaml").write_text(
        "sources:\n- {name: n, path: a.jsonl, count: 23, root: img, length: 10, max_dynamic_patch: 6,"
        " data_augment: true, format: mmpr}\n"
    )
    mixture = load(folder / "m.yaml")
    assert write_mixture(folder / "out.yaml", mixture, "prefdata", [10]) == []
    assert load(folder / "out.yaml").sources == mixture.sources


def test_the_real_file_is_read(shared_data: Path) -> None:
    folder = (
        shared_data
        / "upstream"
        / "InternLM+InternLM-XComposer"
        / "InternLM-XComposer-2.5-Reward"
        / "training"
    )
    (source,) = load(folder / "data.txt").sources
    assert (source.count, source.format, source.annotation.name) == (
        Decimal(1000),
        "ixc-reward",
        "example.json",
    )


def _info(folder: Path, name: str, rows: list[dict[str, Any]]) -> tuple[dict[str, Any], list[str]]:
    """The entry of a file with these rows, and what is told."""
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    lost = write_mixture(folder / "dataset_info.json", load(folder / name), "dataset-info", [len(rows)])
    (entry,) = json.loads((folder / "dataset_info.json").read_text()).values()
    return entry, lost


def test_dataset_info_names_the_columns_that_rows_have(folder: Path) -> None:
    turns = [{"from": "human", "value": "Hi"}]
    sides = {"chosen": {"from": "gpt", "value": "Hello"}, "rejected": {"from": "gpt", "value": "No"}}
    rows = [{"conversations": turns, **sides}, {"conversations": turns, **sides, "system": "Be kind."}]
    entry, lost = _info(folder, "ranking.jsonl", rows)
    assert entry["columns"] == {
        "messages": "conversations", "system": "system", "chosen": "chosen", "rejected": "rejected",
    }  # fmt: skip
    assert (entry["formatting"], entry["ranking"], lost) == ("sharegpt", True, [])
    said = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    entry, lost = _info(folder, "kto.jsonl", [{"messages": said, "label": True}])
    assert entry["columns"] == {"messages": "messages", "kto_tag": "label"}
    assert [entry["tags"][tag] for tag in ("role_tag", "content_tag", "user_tag")] == [
        "role",
        "content",
        "user",
    ]
    assert "ranking" not in entry
    entry, lost = _info(folder, "sft.jsonl", [{"instruction": "Hi", "output": "Hello", "id": "1"}])
    assert entry["columns"] == {"prompt": "instruction", "response": "output"}


def test_dataset_info_tells_what_llama_factory_stops_at_or_drops(folder: Path) -> None:
    pair = {"instruction": "Hi", "chosen": "Hello", "rejected": "No"}
    _, lost = _info(folder, "mixed.jsonl", [pair, pair, {"instruction": "Hi", "output": "Hello"}])
    assert lost == ["mixed: 1 conversation among pairs: it trains on one kind per file and drops the others"]
    _, lost = _info(
        folder, "front.jsonl", [{"image": "a.jpg", "question": "Q", "chosen": "A", "rejected": "B"}]
    )
    assert "front: 1 row with images and no <image>, at which it stops" in lost[0]
    rows = [
        {"conversations": [{"from": "human", "value": "Q"}, {"from": name, "value": "A"}]}
        for name in ("gpt", "bard")
    ]
    _, lost = _info(folder, "names.jsonl", rows)
    assert "names: turns of gpt and bard in one file, of which it reads the first" in lost[0]
    entry, lost = _info(
        folder, "swift.jsonl", [{"messages": [{"role": "user", "content": "Q"}], "rejected_response": "B"}]
    )
    assert entry == {"file_name": "swift.jsonl"}
    assert "which LLaMA-Factory does not read; `prefdata convert --to lf-sharegpt` them first" in lost[0]
