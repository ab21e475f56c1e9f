"""What a data owner does to `mix` by mistake: one sentence, and nothing lost or changed without it."""

import gzip
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from prefdata.errors import PrefdataError
from prefdata.mixtures import epoch, load
from prefdata.mixtures.index import open_index
from prefdata.mixtures.parquet import write_parquet
from prefdata.mixtures.plan import make_plan
from prefdata.mixtures.tokens import row_tokens
from tests.support.program import prefdata, program, read_lines, write_lines


def rows(count: int) -> list[dict[str, str]]:
    return [{"question": f"{n}?", "chosen": f"yes {n}", "rejected": "no"} for n in range(count)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_lines(tmp_path / "a.jsonl", rows(20))
    (tmp_path / "mix.yaml").write_text("sources:\n- {path: a.jsonl, factor: 1.5}\n")
    return tmp_path


def told(folder: Path, *arguments: object) -> str:
    """The one sentence of a command that must fail."""
    done = prefdata("mix", *arguments, cwd=folder)
    assert done.returncode == 2, done.stdout
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


@pytest.mark.parametrize("action", [("plan",), ("write", "out"), ("convert", "x.json", "--to", "meta")])
def test_all_missing_files_are_named_at_once(folder: Path, action: tuple[str, ...]) -> None:
    names = [f"gone{number}.jsonl" for number in range(30)]
    (folder / "data.txt").write_text("a.jsonl 1\n" + "".join(f"{name} 1\n" for name in names))
    error = told(folder, action[0], "data.txt", *action[1:])
    assert error.startswith("error: data.txt: 30 of 31 sources: no file gone0.jsonl, gone1.jsonl, ")
    assert error.endswith("gone4.jsonl and 25 more; check the paths.")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("sources:\n- path: a.jsonl\n  factor: 1\n  factor: 3\n", "mix.yaml:4: a second `factor`"),
        ("sources:\n- path: a.jsonl\nsources:\n- path: a.jsonl\n", "mix.yaml:3: a second `sources`"),
        ("data_paths: a.jsonl\nrepeat_times: 1\nrepeat_times: 2\n", "mix.yaml:3: a second `repeat_times`"),
        ("sources: &a\n- *a\n", "mix.yaml: source 1: a mapping with `path` is needed"),
        ("sources: " + "[" * 20_000, "mix.yaml: not valid YAML (nested too deeply)"),
        ("sources:\n- {path: a.jsonl, ? [1]: 2}\n", "mix.yaml: not valid YAML"),
        ("sources:\n- {path: a.jsonl, format: mmmpr}\n", "`format` is 'mmmpr', a format that `prefdata formats`"),
        ("sources:\n- {path: a.jsonl, length: many}\n", "`length` is 'many', a whole number above 0"),
        ("sources:\n- {path: a.jsonl, max_dynamic_patch: 0}\n", "`max_dynamic_patch` is 0, a whole number"),
        ("sources:\n- {path: a.jsonl, max_dynamic_patch: true}\n", "`max_dynamic_patch` is True, a whole number"),
        ("sources:\n- {path: a.jsonl, data_augment: 1}\n", "`data_augment` is 1, true or false is needed"),
        ("sources:\n- {path: a.jsonl, name: [x]}\n", "`name` is ['x'], a text is needed"),
        ("sources:\n- {path: mix.yaml}\n", "mix.yaml is a mixture itself; name a data file"),
        ("sources:\n- {path: a.jsonl}\n- {path: other.txt}\n", "other.txt is a mixture itself"),
        ("sources:\n- {path: meta.json}\n", "meta.json is a mixture itself"),
    ],
)  # fmt: skip
def test_yaml_in_which_something_would_be_ignored(folder: Path, text: str, error: str) -> None:
    (folder / "mix.yaml").write_text(text)
    (folder / "other.txt").write_text("a.jsonl 1\n")
    (folder / "meta.json").write_text('{"a": {"annotation": "a.jsonl", "repeat_time": 1}}')
    assert error in told(folder, "plan", "mix.yaml")


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"a": {"annotation": "a.jsonl",\n"repeat_time": NaN}}', "meta.json:2: not a readable meta.json"),
        ('{"a": {"annotation": "a.jsonl"\n"root": "."}}', "meta.json:2: not a readable meta.json"),
        ("{'a': {'annotation': 'a.jsonl'}}", "meta.json:1: not a readable meta.json"),
        ('{"a": {"annotation": "a.jsonl", "repeat_time": "2"}}', '`repeat_time` is "2", a number above 0'),
        ('{"a": {"annotation": "a.jsonl", "repeat_time": true}}', "`repeat_time` is true, a number above 0"),
        ('{"a": {"annotation": "a.jsonl", "repeat_time": 1e9}}', "`repeat_time` is 1E+9, a number above 0"),
    ],
)
def test_a_meta_json_with_a_slip(folder: Path, text: str, error: str) -> None:
    (folder / "meta.json").write_text(text)
    assert error in told(folder, "plan", "meta.json")


@pytest.mark.parametrize("container", ["jsonl", "parquet"])
def test_more_shards_than_rows(folder: Path, container: str) -> None:
    command = ("write", "mix.yaml", "out", "--container", container, "--shards")
    assert "--shards 31: the epoch has 30 rows; ask for fewer." in told(folder, *command, 31)
    assert not (folder / "out").exists()
    done = prefdata("mix", *command, 30, cwd=folder)
    assert done.returncode == 0, done.stderr
    assert prefdata("mix", "plan", "out/meta.json", cwd=folder).returncode == 0


def test_a_format_that_is_only_read(folder: Path) -> None:
    assert "--to hh: is only read; choose one of mmpr, trl, " in told(
        folder, "write", "mix.yaml", "out", "--to", "hh"
    )
    assert not (folder / "out").exists()


def test_a_file_in_the_place_of_the_index(folder: Path) -> None:
    assert "--index a.jsonl: is a file; name a folder" in told(
        folder, "plan", "mix.yaml", "--index", "a.jsonl"
    )


def test_two_sources_of_one_name_have_no_meta_json(folder: Path) -> None:
    (folder / "mix.yaml").write_text("sources:\n- {path: a.jsonl}\n- {path: ./a.jsonl}\n")
    assert "give them other names" in told(folder, "convert", "mix.yaml", "x.json", "--to", "meta")


@pytest.mark.parametrize("target", ["meta", "data.txt", "xtuner", "dataset-info", "swift", "prefdata"])
@pytest.mark.parametrize("where", ["run/x", "beside/deep/x", "x", "link/x"])
def test_a_converted_mixture_is_read_from_anywhere(tmp_path: Path, target: str, where: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "images").mkdir()
    (tmp_path / "far/away").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "far/away")
    write_lines(tmp_path / "run/pairs.jsonl", [{"image": "1.png"} | row for row in rows(3)])
    entry = {"root": "../images", "annotation": "pairs.jsonl", "repeat_time": 1}
    (tmp_path / "run/meta.json").write_text(json.dumps({"run": entry}))
    done = prefdata("mix", "convert", "run/meta.json", where, "--to", target, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (source,) = load(tmp_path / where).sources
    assert source.annotation.samefile(tmp_path / "run/pairs.jsonl")
    if target in ("meta", "xtuner", "prefdata"):
        assert source.root is not None
        assert source.root.samefile(tmp_path / "images")
    else:
        assert "lost: run: the image root" in done.stdout


def test_sources_of_every_kind_in_one_epoch(folder: Path) -> None:
    import pyarrow
    import pyarrow.parquet

    some = rows(5)
    lines = [json.dumps(row) for row in some]
    (folder / "crlf.jsonl").write_bytes("\r\n".join(lines).encode())
    (folder / "bom.jsonl").write_bytes(b"\xef\xbb\xbf" + "\n".join(lines).encode())
    (folder / "packed.jsonl.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    (folder / "array.json").write_text(json.dumps(some))
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(some), folder / "p.parquet")
    (folder / "link.jsonl").symlink_to("bom.jsonl")
    (folder / "ünï").mkdir()
    write_lines(folder / "ünï/ä b.jsonl", some)
    names = [
        "crlf.jsonl",
        "bom.jsonl",
        "packed.jsonl.gz",
        "array.json",
        "p.parquet",
        "link.jsonl",
        "ünï/ä b.jsonl",
    ]
    (folder / "mix.yaml").write_text(
        "sources:\n" + "".join(f'- {{path: "{name}", factor: 2}}\n' for name in names)
    )
    done = prefdata("mix", "write", "mix.yaml", "öut", cwd=folder)
    assert done.returncode == 0, done.stderr
    written = read_lines(folder / "öut/part-00000-of-00001.jsonl")
    assert sorted(map(json.dumps, written)) == sorted(lines * 2 * len(names))


def test_a_source_that_changes_under_the_readers(folder: Path) -> None:
    mixture = load(folder / "mix.yaml")
    indexes = [open_index(folder / "a.jsonl", folder / "index")]
    drawn, plan = epoch(mixture, 0, 0, [20]), make_plan(mixture, indexes)
    with (folder / "a.jsonl").open("a") as stream:
        stream.write('{"question": "new", "chosen": "a", "rejected": "b"}\n')
    with pytest.raises(PrefdataError, match=r"a\.jsonl: changed while it was read; run the command again"):
        write_parquet(folder / "out", mixture, indexes, drawn, plan)
    assert not (folder / "out").exists()
    with pytest.raises(PrefdataError, match=r"a\.jsonl: changed while it was read; run the command again"):
        row_tokens("demo", 12)(mixture.sources[0], indexes[0])


@pytest.mark.parametrize("container", ["jsonl", "parquet"])
def test_a_file_that_may_not_grow(folder: Path, container: str) -> None:
    write_lines(folder / "a.jsonl", [row | {"chosen": os.urandom(500).hex()} for row in rows(500)])
    prefdata("mix", "plan", "mix.yaml", cwd=folder)
    done = subprocess.run(
        [sys.executable, "-m", "prefdata", "mix", "write", "mix.yaml", "out", "--container", container],
        cwd=folder, capture_output=True, text=True, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )  # fmt: skip
    assert done.returncode == 2
    assert "error: out: File too large" in done.stderr
    assert not (folder / "out").exists()


def test_killed_again_and_again_and_then_written(folder: Path) -> None:
    write_lines(folder / "a.jsonl", rows(50_000))
    assert prefdata("mix", "write", "mix.yaml", "ref", "--seed", 5, cwd=folder).returncode == 0
    argv = [sys.executable, "-m", "prefdata", "mix", "write", "mix.yaml", "out", "--seed", "5"]
    cut = 0
    for _ in range(8):
        running = subprocess.Popen(argv, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        while (
            running.poll() is None and not list(folder.glob("out/.mix-*/.*")) and time.monotonic() < deadline
        ):
            time.sleep(0.001)
        running.send_signal(signal.SIGKILL)
        cut += running.wait() == -signal.SIGKILL
    assert cut
    assert cut < 8 or not list(folder.glob("out/part-*"))
    assert program("mix", "write", "mix.yaml", "out", "--seed", 5, cwd=folder).returncode == 0
    name = "part-00000-of-00001.jsonl"
    assert (folder / "out" / name).read_bytes() == (folder / "ref" / name).read_bytes()
    assert sorted(os.listdir(folder / "out")) == sorted(os.listdir(folder / "ref"))


def test_a_mixture_without_sources(folder: Path) -> None:
    (folder / "none.yaml").write_text("sources: []\n")
    assert "none.yaml: a mixture without sources" in told(folder, "plan", "none.yaml")
