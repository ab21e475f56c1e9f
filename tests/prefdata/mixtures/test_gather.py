"""Rows copied from many files: the compiled way, the ordinary way and the decoded way say the same."""

import copy
import itertools
import json
import os
from array import array
from contextlib import closing
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from prefdata.cli.main import cli
from prefdata.errors import PrefdataError
from prefdata.formats import BadRow, get
from prefdata.mixtures import gather, scatter
from prefdata.mixtures.draw import SHIFT
from prefdata.mixtures.gather import Gatherer, Treatment
from prefdata.mixtures.index import LOOK, NOWHERE, Index, _Media, _place, file_hash, open_index
from prefdata.mixtures.materialise import _PLACED
from prefdata.mixtures.moving import move
from prefdata.mixtures.outputs import Shard

compiled = pytest.mark.skipif(scatter._compiled is None, reason="prefdata was installed without a C compiler")


def written(folder: Path, lines: list[bytes], name: str = "p") -> Index:
    (folder / f"{name}.jsonl").write_bytes(b"\n".join(lines))  # the last line has no end
    return open_index(folder / f"{name}.jsonl", folder / "index")


def moved(data: bytes, line: int) -> bytes:
    """The decoded way, as `mix write` has it."""
    row = json.loads(data)
    move(row, get("mmpr"), "up")
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def taken(
    indexes: list[Index], codes: "array[int]", insert: bytes, compiled_part: bool, shards: int = 1
) -> bytes:
    """The rows of codes: by the compiled part where it is there and can."""
    with (
        closing(Gatherer(indexes, [Treatment(insert, moved) for _ in indexes])) as reader,
        TemporaryDirectory() as name,
    ):
        cuts = [len(codes) * number // shards for number in range(shards + 1)]
        parts = [Shard(name=f"{first}", first=first, last=last) for first, last in itertools.pairwise(cuts)]
        copy = scatter.scatter if compiled_part and scatter.possible(reader) else gather.gather
        done: list[int] = []
        copy(reader, codes, Path(name), parts, done.append)
        assert sum(done) == len(codes)
        assert [part.hash for part in parts] == [file_hash(Path(name, part.name)) for part in parts]
        data = b"".join(Path(name, part.name).read_bytes() for part in parts)
        assert sum(part.bytes for part in parts) == len(data)
        return data


@compiled
@pytest.mark.parametrize("insert", [b"", b"up/"])
def test_compiled_and_ordinary_way_give_the_same_bytes(
    tmp_path: Path, insert: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        scatter, "_LEAST_BLOCK", 10_000
    )  # many blocks, each of which waits in more than one piece
    monkeypatch.setattr(scatter, "_SHARDS", 2)
    random = Random(0)
    indexes = []
    for number in range(3):
        lines = [
            json.dumps({"image": f"{n}.png", "question": "Q" * random.randrange(3000)}).encode()
            for n in range(200)
        ]
        indexes.append(written(tmp_path, [*lines, b"", b'{"question": "none"}'], f"s{number}"))
    codes = array("Q", [random.randrange(3) << SHIFT | random.randrange(201) for _ in range(2000)])
    plain = taken(indexes, codes, insert, False)
    for shards in (1, 3):
        assert taken(indexes, codes, insert, True, shards) == plain
    assert len(plain.splitlines()) == 2000
    assert plain.count(b'"image": "up/') == (plain.count(b'"image"') if insert else 0)


ROWS: list[tuple[bytes, bool]] = [
    (b'{"image": "a/b.png", "question": "Q"}', True),
    (b'{"question": "say \\"image\\": \\"x\\"", "image":"b.png"}', True),
    (b'{ "image"\t:  "\xc3\xa4 b.png" }', True),
    (b'{"image": "a\\u0062.png"}', True),
    (b'{"image": "\\u002froot.png"}', False),
    (b'{"image": "/root.png"}', False),
    (b'{"image": "https://host/a.png"}', False),
    (b'{"image": "file:///a.png"}', False),
    (b'{"image": ["a.png"]}', False),
    (b'{"image": "a.png", "meta": {"image": "b.png"}}', False),
    (b'{"meta": {"image": "a.png"}, "image": "a.png"}', False),
    (b'{"meta": {"image": "a.png"}, "im\\u0061ge": "a.png"}', False),
    (b'{"image": "a.png", "im\\u0061ge": "b.png"}', False),
    (b'{"image": "a.png", "im\\u0061ge": "a.png"}', False),
    (b'{"image": "a.png", "question": "im\\u0061ge"}', True),
    (b'{"image": "a.png", "video": "b.mp4"}', False),
    (b'{"kind": "image", "image": "a.png"}', True),
    (b'{"image": "a.png", "kind": "image"}', False),
]


@pytest.mark.parametrize(("row", "placed"), ROWS)
def test_a_place_is_told_only_where_it_is_certain(tmp_path: Path, row: bytes, placed: bool) -> None:
    index = written(tmp_path, [row])
    assert (index.places[0] not in (LOOK, NOWHERE)) == placed
    assert index.header.unplaced == (not placed)
    line = taken([index], array("Q", [0]), b"up/", True)
    assert json.loads(line) == json.loads(moved(row, 1))
    if placed:
        assert line.replace(b"up/", b"", 1) == row + b"\n"


names = st.sampled_from(["image", "images", "video", "question", "meta"])
values = st.recursive(
    st.none()
    | st.text('a/"\\:.ä\n😀', max_size=6)
    | st.sampled_from(["a.png", "/a", "http://a", '"image": "a.png"']),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)


@given(row=st.dictionaries(names, values, max_size=4), spaced=st.booleans(), ascii_only=st.booleans())
def test_every_placed_path_moves_as_the_format_moves_it(
    row: dict[str, Any], spaced: bool, ascii_only: bool
) -> None:
    text = json.dumps(row, separators=None if spaced else (",", ":"), ensure_ascii=ascii_only)
    line = text.encode()
    decode = msgspec.json.Decoder(_Media).decode
    place = _place(line, decode(line), decode)
    if place == LOOK:
        return
    wanted = copy.deepcopy(row)
    move(wanted, get("mmpr"), "up")
    assert json.loads(line[:place] + b"up/" * (place != NOWHERE) + line[place:]) == wanted


@pytest.mark.parametrize("name", sorted(_PLACED))
def test_formats_whose_paths_are_placed_have_their_media_there(name: str) -> None:
    """Whatever their reading finds in a row of known keys stands where the index looks."""
    fmt = get(name)
    media = {
        "image": "a.png",
        "images": ["b.png"],
        "video": "c.mp4",
        "videos": ["d.mp4"],
        "audios": ["e.wav"],
    }
    row = {**{key: [] for key in fmt.content_keys}, **media, "img": "f.png", "other": {"image": "g.png"}}
    try:
        found = fmt.view(row).media
    except BadRow:
        pytest.skip("needs whole rows")
    assert {one.field.partition("[")[0] for one in found} <= {"image", "video"}


def test_a_file_that_changed_since_it_was_opened_is_told(tmp_path: Path) -> None:
    index = written(tmp_path, [b'{"question": "Q"}', b'{"question": "R"}'])
    index.path.write_bytes(index.path.read_bytes()[:20])
    for compiled_part in (False, True):
        with pytest.raises(PrefdataError, match=r"p\.jsonl: changed while it was read"):
            taken([index], array("Q", [0, 1]), b"", compiled_part)


@pytest.mark.parametrize(
    "other",
    [
        b'{"image": "a.png", "question": "longer"}\n{"image": "b"}',  # lines end elsewhere
        b'{"image":  "a.png", "question": "Q"}\n {"image": "b.png"}',  # the path stands elsewhere
        b'"image": {"a.png", "question": "Q"}\n{"image": "b.png" }',  # no object
        b'{"image": "a.png", \n"question":"Q"}\n{"image": "b.png"} ',
    ],
)
def test_other_content_of_the_same_size_and_time_is_told(tmp_path: Path, other: bytes) -> None:
    index = written(tmp_path, [b'{"image": "a.png", "question": "Q"}', b'{"image": "b.png" }'])
    before = index.path.stat()
    index.path.write_bytes(other.ljust(before.st_size)[: before.st_size])
    os.utime(index.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for compiled_part in (False, True):
        with pytest.raises(
            PrefdataError, match=r"although size and time are the same; delete \S+\.index and"
        ):
            taken([index], array("Q", [0, 1]), b"up/", compiled_part)


def test_rows_behind_a_mark_and_blank_lines_are_found(tmp_path: Path) -> None:
    row = b'{"image": "a.png"}'
    for number, begin in enumerate((b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n", b"\n")):
        index = written(tmp_path, [begin + row, b" " + row], f"p{number}")
        assert len(index) == 2
        for compiled_part in (False, True):
            lines = taken([index], array("Q", [1, 0]), b"up/", compiled_part).splitlines()
            assert [json.loads(line) for line in lines] == [{"image": "up/a.png"}] * 2


@compiled
def test_rows_longer_than_a_block_and_all_that_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scatter, "_LEAST_BLOCK", 100)
    lines = [b'{"question": "%b"}' % (b"Q" * size) for size in (10, 1_000_000, 5, 4083, 4095, 300_000)]
    index = written(tmp_path, lines)
    order = array("Q", [5, 2, 1, 3, 0, 4, 1])
    assert taken([index], order, b"", True) == b"".join(lines[row] + b"\n" for row in order)
    assert taken([index], array("Q"), b"", True) == b""


@compiled
def test_far_apart_rows_are_read_without_what_lies_between(tmp_path: Path) -> None:
    lines = [b'{"question": "%d%b"}' % (number, b"Q" * 40_000) for number in range(30)]
    index = written(tmp_path, lines)
    order = array("Q", [29, 0, 15, 16, 3])
    assert taken([index], order, b"", True) == b"".join(lines[row] + b"\n" for row in order)


@compiled
def test_a_mixture_is_the_same_without_the_compiled_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = {}
    for name in "ab":
        (tmp_path / name).mkdir()
        rows = [{"image": f"{n}.png", "question": f"{n}?", "chosen": "y", "rejected": "n"} for n in range(50)]
        (tmp_path / name / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        entries[name] = {"root": name, "annotation": f"{name}/p.jsonl", "repeat_time": 1.5}
    (tmp_path / "meta.json").write_text(json.dumps(entries))

    def write(out: str) -> bytes:
        cli.main(
            ["mix", "write", str(tmp_path / "meta.json"), str(tmp_path / out), "-q"], standalone_mode=False
        )
        return (tmp_path / out / "part-00000-of-00001.jsonl").read_bytes()

    first = write("one")
    monkeypatch.setattr(scatter, "_compiled", None)
    assert write("two") == first
    assert first.count(b'{"image": "a/') == first.count(b'{"image": "b/') == 75
