"""Plan, files and training: the same rows."""

import gzip
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from prefdata.cli.main import cli
from prefdata.errors import PrefdataError
from prefdata.mixtures import epoch, load
from prefdata.mixtures.index import file_hash, open_index
from prefdata.mixtures.materialise import write_epoch
from prefdata.mixtures.outputs import staging
from prefdata.mixtures.plan import make_plan, table
from prefdata.readers import read_rows
from trainers.grow import Grown
from trainers.plan import make_plan as make_training_plan
from trainers.trees import Branch, Tree


@pytest.fixture
def mix(tmp_path: Path) -> Path:
    for name, count in (("geo", 30), ("text", 8)):
        (tmp_path / name).mkdir()
        rows = [
            {"question": f"{name} {n}?", "chosen": f"yes {n}", "rejected": f"no {n}"} for n in range(count)
        ]
        if name == "geo":
            rows = [{"image": f"{n}.png"} | row for n, row in enumerate(rows)]
        (tmp_path / name / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    path = tmp_path / "meta.json"
    path.write_text(
        json.dumps(
            {
                "geo": {"root": "geo", "annotation": "geo/p.jsonl", "repeat_time": 0.5},
                "text": {"root": "text", "annotation": "text/p.jsonl", "repeat_time": 2.5},
            }
        )
    )
    return path


def opened(mix: Path) -> tuple:
    mixture = load(mix)
    return mixture, [open_index(source.annotation, mix.parent / "index") for source in mixture.sources]


def written(mix: Path, out: Path, number: int, seed: int = 3, shards: int = 1) -> list[str]:
    mixture, indexes = opened(mix)
    drawn = epoch(mixture, seed, number, [len(index) for index in indexes])
    result = write_epoch(
        out, mixture, indexes, drawn, make_plan(mixture, indexes, seed=seed, number=number), shards=shards
    )
    return [json.loads(line)["question"] for name in result.files for line in (out / name).open()]


def test_plan_is_files_is_training_over_two_epochs_two_processes_and_a_resume(
    mix: Path, tmp_path: Path
) -> None:
    mixture, indexes = opened(mix)
    plan = make_plan(mixture, indexes, seed=3)
    assert [(one.name, one.want, one.copies, one.remainder) for one in plan.sources] == [
        ("geo", 15, 0, 15),
        ("text", 20, 2, 4),
    ]
    questions = [f"geo {n}?" for n in range(30)] + [f"text {n}?" for n in range(8)]
    trees = [Tree(q, (n,), (Branch((1,), (True,), True),), ()) for n, q in enumerate(questions)]
    grown = Grown(mixture, trees, rows=[30, 8])

    def trained(processes: int) -> list[list[str]]:
        """Questions of each step of two epochs, as all processes together see them."""
        made = make_training_plan(
            trees, lambda number: grown.order(3, number), batch_size=4, epochs=2, max_steps=0, processes=processes,
            max_tokens=64, share=True,
        )  # fmt: skip
        return [sorted(questions[tree] for tree in step.trees) for step in made.steps]

    files = [written(mix, tmp_path / f"out{number}", number) for number in (0, 1)]
    assert files[0] != files[1]
    steps = [sorted(rows[at : at + 4]) for rows in files for at in range(0, 35, 4)]
    assert trained(1) == trained(2) == steps
    for rows in files:
        counted = Counter(question.split()[0] for question in rows)
        assert {one.name: one.want for one in plan.sources} == counted
    # A resumed run works out the same plan and goes on at its step.
    assert trained(2)[7:] == steps[7:]


def test_same_seed_same_bytes_and_shards_cut_the_same_order(mix: Path, tmp_path: Path) -> None:
    one, again = written(mix, tmp_path / "a", 0), written(mix, tmp_path / "b", 0)
    assert one == again
    assert (tmp_path / "a" / "part-00000-of-00001.jsonl").read_bytes() == (
        tmp_path / "b" / "part-00000-of-00001.jsonl"
    ).read_bytes()
    assert written(mix, tmp_path / "c", 0, shards=3) == one
    assert written(mix, tmp_path / "d", 0, seed=4) != one


def test_one_root_serves_the_output(mix: Path, tmp_path: Path) -> None:
    written(mix, tmp_path / "out", 0)
    source = load(tmp_path / "out" / "meta.json").sources[0]
    rows = [json.loads(line) for line in source.annotation.open()]
    assert {row["image"].split("/")[0] for row in rows if "image" in row} == {"geo"}
    assert source.root == tmp_path
    assert source.length == 35


def test_writing_again_replaces_its_own_files_only(mix: Path, tmp_path: Path) -> None:
    written(mix, tmp_path / "out", 0, shards=3)
    written(mix, tmp_path / "out", 0, shards=2)
    assert sorted(p.name for p in (tmp_path / "out").glob("part-*")) == [
        "part-00000-of-00002.jsonl", "part-00001-of-00002.jsonl",
    ]  # fmt: skip
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "part-1.jsonl").write_text("precious")
    with pytest.raises(PrefdataError, match="name an empty folder"):
        written(mix, tmp_path / "mine", 0)
    assert (tmp_path / "mine" / "part-1.jsonl").read_text() == "precious"


def test_a_write_that_fails_leaves_the_earlier_one(mix: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    written(mix, out, 0, shards=2)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    with (tmp_path / "text" / "p.jsonl").open("a") as stream:
        stream.write('{"question": 1, "chosen": "a", "rejected": "b"}\n')

    def fail(out: Path, *more: str) -> None:
        with pytest.raises(PrefdataError, match=r"cannot be written as `trl`|no such|No such"):
            cli.main(["mix", "write", str(mix), str(out), *more, "-q"], standalone_mode=False)

    fail(out, "--to", "trl")
    fail(out, "--container", "parquet")  # the images are not there
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    fail(tmp_path / "new", "--container", "parquet")
    assert not (tmp_path / "new").exists()


def test_the_card_counts_by_source_and_keeps_what_a_person_wrote(mix: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    written(mix, tmp_path / "out", 0, shards=2)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| pairs | 35 |\n| of source: geo | 15 |\n| of source: text | 20 |" in card
    loaded = datasets.load_dataset(str(tmp_path / "out"), cache_dir=str(tmp_path / "cache"), split="train")
    assert len(loaded) == 35
    (tmp_path / "out" / "README.md").write_text(card.replace("license: unknown", "license: mit"))
    written(mix, tmp_path / "out", 1)
    assert "license: mit" in (tmp_path / "out" / "README.md").read_text()


def test_a_meta_json_of_somebody_else_is_not_replaced(mix: Path, tmp_path: Path) -> None:
    before = mix.read_bytes()
    with pytest.raises(PrefdataError, match=r"meta\.json of something else"):
        written(mix, tmp_path, 0)
    assert mix.read_bytes() == before


def pictured(folder: Path, row: dict[str, Any]) -> dict[str, Any]:
    """The row after `mix write` beside another source of the same rows, whose root is another folder."""
    entries = {}
    for name in ("a", "b"):
        (folder / name).mkdir()
        (folder / name / "p.jsonl").write_text(json.dumps(row) + "\n")
        entries[name] = {"root": name, "annotation": f"{name}/p.jsonl", "repeat_time": 1}
    (folder / "meta.json").write_text(json.dumps(entries))
    written_rows = [json.loads(line) for line in _lines(folder)]
    (first,) = [row for row in written_rows if '"a/' in json.dumps(row)]
    assert json.loads(json.dumps(first).replace('"a/', '"b/')) in written_rows
    return dict(first)


def _lines(folder: Path) -> list[str]:
    mixture, indexes = opened(folder / "meta.json")
    drawn = epoch(mixture, 3, 0, [len(index) for index in indexes])
    made = write_epoch(folder / "out", mixture, indexes, drawn, make_plan(mixture, indexes, seed=3))
    assert made.rewritten > 0
    return (folder / "out" / made.files[0]).read_text().splitlines()


OPENAI = [
    {
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": "x.png", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "https://host/x.png"}},
            {"type": "text", "text": "x.png?"},
        ],
    },
    {"role": "assistant", "content": "yes"},
]
V1 = [
    {"role": "user", "content": [{"type": "image_url", "value": "x.png"}, {"type": "text", "value": "Q"}]},
    {"role": "assistant", "content": [{"type": "text", "value": "yes"}]},
]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": OPENAI},
        {"chosen_messages": V1, "rejected_messages": [V1[0], V1[1] | {"content": [{"type": "text", "value": "no"}]}]},
        {
            "conversations": [{"from": "human", "value": "<video><audio>Q"}],
            "chosen": {"from": "gpt", "value": "a"}, "rejected": {"from": "gpt", "value": "b"},
            "videos": ["x.png"], "audios": ["x.png"],
        },
        {
            "messages": [{"role": "user", "content": "<image>Q"}, {"role": "assistant", "content": "a"}],
            "rejected_response": "b", "images": ["x.png"], "rejected_images": ["x.png"],
        },
    ],
)  # fmt: skip
def test_every_format_names_its_media_from_the_common_root(tmp_path: Path, row: dict[str, Any]) -> None:
    assert pictured(tmp_path, row) == json.loads(json.dumps(row).replace('"x.png"', '"a/x.png"'))


def test_what_cannot_be_moved_is_refused(tmp_path: Path) -> None:
    row = {
        "messages": [{"role": "user", "content": "<img>x.png</img>Q"}, {"role": "assistant", "content": "a"}],
        "rejected_response": "b",
    }
    with pytest.raises(
        PrefdataError, match=r"row 1 cannot be moved to the sources' common root: .*--image-root"
    ):
        pictured(tmp_path, row)


def test_what_rows_lose_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    turns = [{"role": "user", "content": "Q", "name": "Ann"}, {"role": "assistant", "content": "a"}]
    rows = [{"messages": turns, "tag": 1}, {"messages": turns[:1] + turns[1:]}]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    cli.main(
        ["mix", "write", str(tmp_path / "p.jsonl"), str(tmp_path / "out"), "--to", "sharegpt"],
        standalone_mode=False,
    )
    made = json.loads(capsys.readouterr().out)
    assert made["lost"]["p: names of speakers and ids of tool calls"]["rows"] == 2
    assert made["ignored"]["p: tag"] == {"rows": 1, "lines": [1]}
    assert "lost: p: names of speakers and ids of tool calls: 2 rows (lines" in caplog.text
    assert "readers of `sharegpt` ignore: p: tag (1)" in caplog.text


def test_an_index_is_kept_until_the_content_changes(tmp_path: Path) -> None:
    path, folder = tmp_path / "p.jsonl", tmp_path / "index"
    row = '{"question":"Q","chosen":"a","rejected":"b","image":["x","y"]}\n'
    path.write_text("\ufeff" + row + "\n" + row.rstrip("\n"))
    index = open_index(path, folder)
    assert (len(index), index.header.images) == (2, 4)
    assert path.read_bytes()[index.starts[0] :][: index.lengths[0]] == row.strip().encode()
    (place,) = folder.glob("*.index")
    before = place.stat().st_ino
    os.utime(path, ns=(1, 1))
    assert len(open_index(path, folder)) == 2
    assert place.stat().st_ino == before
    path.write_text(path.read_text().replace("Q", "R"))
    os.utime(path, ns=(2, 2))
    open_index(path, folder)
    assert place.stat().st_ino != before


def test_arrays_parquet_and_packed_files_are_copied_to_lines(tmp_path: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    rows = [{"question": f"Q{n}", "chosen": "a", "rejected": "b"} for n in range(3)]
    (tmp_path / "p.json").write_text(json.dumps(rows, indent=2))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "p.parquet")
    with gzip.open(tmp_path / "p.jsonl.gz", "wt") as stream:
        stream.writelines(json.dumps(row) + "\n" for row in rows)
    for name in ("p.json", "p.parquet", "p.jsonl.gz"):
        index = open_index(tmp_path / name, tmp_path / "index")
        lines = [
            json.loads(index.path.read_bytes()[s : s + n])
            for s, n in zip(index.starts, index.lengths, strict=True)
        ]
        assert lines == rows


def test_a_row_that_is_no_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"question":"Q","chosen":"a","rejected":"b"}\n{"torn\n')
    with pytest.raises(PrefdataError, match=r"p\.jsonl:2: not a row"):
        open_index(tmp_path / "p.jsonl", tmp_path / "index")


def test_the_table_and_a_cut_fraction(mix: Path) -> None:
    mixture, indexes = opened(mix)
    shown = table(make_plan(mixture, indexes)).splitlines()
    assert shown[0].split() == ["source", "have", "want", "copies", "+", "rows", "unique", "share", "images"]
    assert shown[1].split() == ["geo", "30", "15", "0", "15", "50.0%", "42.9%", "15"]
    mix.write_text(mix.read_text().replace("0.5", "0.11"))
    assert "geo: the target is no whole number; 0.3 of a row was cut off." in table(make_plan(*opened(mix)))


def test_commands(mix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: str) -> str:
        cli.main([*arguments, "-q"], standalone_mode=False)
        return capsys.readouterr().out

    plan = json.loads(run("mix", "plan", str(mix), "--output-format", "json"))
    assert plan["total"]["want"] == 35
    made = json.loads(run("mix", "write", str(mix), str(tmp_path / "o"), "--shards", "2"))
    assert made["rows"] == 35
    assert "3 sources" not in run("mix", "convert", str(mix), str(tmp_path / "d.txt"), "--to", "data.txt")
    assert (tmp_path / "d.txt").read_text() == "geo/p.jsonl 0.015\ntext/p.jsonl 0.02\n"


def test_parquet_holds_the_images_and_loads(mix: Path, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    from PIL import Image

    from prefdata.mixtures.parquet import write_parquet

    for number in range(30):
        Image.new("RGB", (8, 4), (number, 0, 0)).save(tmp_path / "geo" / f"{number}.png")
    mixture, indexes = opened(mix)
    drawn = epoch(mixture, 3, 0, [30, 8])
    made = write_parquet(tmp_path / "hub", mixture, indexes, drawn, make_plan(mixture, indexes, seed=3))
    loaded = datasets.Dataset.from_parquet(
        str(tmp_path / "hub" / made.files[0]), cache_dir=str(tmp_path / "cache")
    )
    assert len(loaded) == 35
    row = next(row for row in loaded if row["images"])
    assert row["images"][0].size == (8, 4)
    assert [part["type"] for part in row["prompt"][0]["content"]] == ["image", "text"]
    (source,) = load(tmp_path / "hub" / "meta.json").sources
    assert (source.format, source.length) == ("trl", 35)
    assert len(list(read_rows(source.annotation))) == 35
    manifest = json.loads((tmp_path / "hub" / "mix.json").read_text())["files"]
    whole = datasets.load_dataset(str(tmp_path / "hub"), cache_dir=str(tmp_path / "cache"), split="train")
    assert whole.features == loaded.features
    assert sum(len(row["images"]) for row in whole) == 15
    assert manifest[made.files[0]] == {"rows": 35, "hash": file_hash(tmp_path / "hub" / made.files[0])}


TURN = {"role": "assistant", "content": "a"}


@pytest.mark.parametrize(
    ("more", "what"),
    [
        ({"margin": 0.5}, "a margin"),
        ({"chosen": [TURN | {"reasoning_content": "so"}]}, "a reasoning text"),
        (
            {"chosen": [TURN | {"tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}]},
            "tool calls",
        ),
        ({"chosen": [TURN | {"name": "Ann"}]}, "names of speakers"),
    ],
)
def test_parquet_refuses_what_it_has_no_column_for(tmp_path: Path, more: dict[str, Any], what: str) -> None:
    row = {"prompt": [{"role": "user", "content": "Q"}], "chosen": [TURN], "rejected": [TURN]} | more
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    command = ["mix", "write", str(tmp_path / "p.jsonl"), str(tmp_path / "o"), "--container", "parquet", "-q"]
    with pytest.raises(PrefdataError, match=f"row 1: has {what}, for which the parquet files have no column"):
        cli.main(command, standalone_mode=False)
    with pytest.raises(PrefdataError, match="--to mmpr: parquet holds pairs as TRL reads them"):
        cli.main([*command, "--to", "mmpr"], standalone_mode=False)


def test_tokens_are_estimated(mix: Path) -> None:
    from prefdata.mixtures.tokens import row_tokens

    mixture, indexes = opened(mix)
    plan = make_plan(mixture, indexes, tokens=row_tokens("demo", 12))
    assert plan.sources[0].tokens is not None
    # One tile for each image that is not there, and some words.
    assert 15 * 260 < plan.sources[0].tokens < 15 * 300
    assert plan.total["tokens"] == sum(one.tokens or 0 for one in plan.sources)


def test_a_file_is_no_folder_to_write_into(mix: Path) -> None:
    target = mix.parent / "big.jsonl"
    target.write_text("kept")
    with pytest.raises(PrefdataError, match=r"big\.jsonl: is a file; name a folder"), staging(target):
        pass
    assert target.read_text() == "kept"


def test_of_two_writes_into_one_folder_the_second_fails(mix: Path, tmp_path: Path) -> None:
    with staging(tmp_path / "out"), pytest.raises(PrefdataError, match="another process"):
        written(mix, tmp_path / "out", 0)
    (tmp_path / "out" / ".mix-left").mkdir(exist_ok=True)  # of a process that was killed
    written(mix, tmp_path / "out", 0)
    assert not (tmp_path / "out" / ".mix-left").exists()


@pytest.mark.parametrize("compat", [None, "internvl", "xcomposer"])
def test_a_slip_of_the_keyboard_is_no_epoch(tmp_path: Path, compat: Any) -> None:
    (tmp_path / "a.jsonl").write_text('{"question":"Q","chosen":"a","rejected":"b"}\n')
    (tmp_path / "mix.yaml").write_text("sources: [{path: a.jsonl, factor: 1.0e+300}]")
    mixture, indexes = opened(tmp_path / "mix.yaml")
    with pytest.raises(PrefdataError, match="copies"):
        make_plan(mixture, indexes, compat=compat)
