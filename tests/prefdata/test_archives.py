"""Archives are told as what they are, with exit code 2, and unsafe members are named before anyone unpacks them."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from prefdata.errors import PrefdataError
from prefdata.sniff import sniff
from prefdata.validate import Options, validate

ROW = b'{"question":"Area?","chosen":"6","rejected":"8"}\n'


def zipped(path: Path, *names: str, link: str | bytes | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in names:
            packed.writestr(name, ROW)
        if link is not None:
            info = zipfile.ZipInfo("link")
            info.external_attr = 0o120777 << 16
            packed.writestr(info, link)
    return path


def tarred(path: Path, *names: str, mode: str = "w", links: dict[str, str] | None = None) -> Path:
    with tarfile.open(path, mode) as packed:  # type: ignore[call-overload]
        for name in names:
            info = tarfile.TarInfo(name)
            info.size = len(ROW)
            packed.addfile(info, io.BytesIO(ROW))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            packed.addfile(info)
    return path


def test_a_sound_archive_is_named_and_not_read(tmp_path: Path) -> None:
    for path in (
        zipped(tmp_path / "a.zip", "rows.jsonl", "images/1.png"),
        tarred(tmp_path / "a.tar", "rows.jsonl", "images/..1.png", links={"images/2.png": "../rows.jsonl"}),
        tarred(tmp_path / "a.tar.gz", "rows.jsonl", "./images/1.png", mode="w:gz"),
        zipped(tmp_path / "b.zip", "rows.jsonl", link="images/../rows.jsonl"),
        tarred(tmp_path / "b.tar", "rows.jsonl", links={"a": "b", "b": "rows.jsonl"}),
    ):
        report = validate([path], Options())
        assert (report.rows, report.counts) == (0, {})
        (sentence,) = report.unreadable
        assert "archive" in sentence
        assert "unpack it" in sentence
        with pytest.raises(PrefdataError, match="archive"):
            sniff(path)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd", "C:\\x", "..\\x"])
def test_members_that_leave(tmp_path: Path, name: str) -> None:
    for path in (zipped(tmp_path / "a.zip", "b", name), tarred(tmp_path / "a.tar", "b", name)):
        report = validate([path], Options())
        assert report.counts == {"PD801": 1}
        assert "look at the findings" in report.unreadable[0]


def test_members_that_lead_elsewhere(tmp_path: Path) -> None:
    for path in (
        zipped(tmp_path / "a.zip", "b", link="/etc"),
        tarred(tmp_path / "a.tar", "b", links={"c": "/etc", "d/e": "../b"}),
        tarred(tmp_path / "b.tar", "b", links={"d/e": "../../b"}),
    ):
        assert validate([path], Options()).counts == {"PD802": 1}


@pytest.mark.parametrize("target", ["/etc", "../..", "x" * 5000])
def test_a_link_in_a_zip_archive_is_its_content(tmp_path: Path, target: str) -> None:
    assert validate([zipped(tmp_path / "a.zip", "b", link=target)], Options()).counts == {"PD802": 1}


def linked(path: Path, *members: tuple[str, str | None], hard: bool = False) -> Path:
    with tarfile.open(path, "w") as packed:
        for number, (name, target) in enumerate(members):
            info = tarfile.TarInfo(name)
            if target is not None:
                info.type, info.linkname = tarfile.LNKTYPE if hard and number else tarfile.SYMTYPE, target
            packed.addfile(info)
    return path


@pytest.mark.parametrize(
    ("members", "found"),
    [
        ((("a", "."), ("a/b", ".."), ("b/evil", None)), 2),
        ((("a", "."), ("./a//evil", None)), 1),
        ((("a", "b/.."), ("b", ".")), 1),
        ((("b", "."), ("a", "b/..")), 1),
        ((("a", "x"), ("b", "a"), ("ab", None)), 0),
    ],
)
def test_links_behind_links(tmp_path: Path, members: tuple[tuple[str, str | None], ...], found: int) -> None:
    path = linked(tmp_path / "a.tar", *members)
    counts = validate([path], Options()).counts
    assert counts == ({"PD802": found} if found else {})


def test_a_second_name_of_a_link(tmp_path: Path) -> None:
    """`s` would lead out of the folder, since it starts from another place than `d/s`."""
    path = linked(tmp_path / "a.tar", ("d/s", "../x"), ("s", "d/s"), hard=True)
    assert validate([path], Options()).counts == {"PD802": 1}


def test_a_packed_bomb_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A header that announces 8 TiB is enough; what follows it is not even there."""
    monkeypatch.setattr("prefdata.archives._BOMB_BYTES", 1 << 20)
    info = tarfile.TarInfo("zeros")
    info.size = 8 << 40
    path = tmp_path / "a.tar.gz"
    path.write_bytes(gzip.compress(tarfile.TarInfo("first").tobuf() + info.tobuf() + bytes(1 << 20)))
    report = validate([path], Options())
    assert report.counts == {"PD803": 1}
    assert "2 members looked at" in report.unreadable[0]


def test_bombs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prefdata.archives._BOMB_BYTES", 1 << 20)
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in "abcd":
            packed.writestr(name, bytes(8 << 20))
    counts = validate([path], Options()).counts
    assert counts == {"PD803": 1}


def test_a_part_of_an_archive(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "a.zip", "b", "c").read_bytes()
    (tmp_path / "a.zip_aa").write_bytes(whole[:60])
    assert "join them first" in validate([tmp_path / "a.zip_aa"], Options()).unreadable[0]
