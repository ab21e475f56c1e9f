"""Image checks against what Pillow makes of every awkward kind of file."""

import os
import re
from pathlib import Path

import pytest
from PIL import Image

from prefdata import images
from prefdata.errors import PrefdataError
from prefdata.stats.pictures import size_of

BROKEN = {"PD402", "PD403", "PD404", "PD405", "PD406"}
# Only decoding shows what is wrong with these: their headers and ends are in order.
DEEP = {
    "apng/syntax_num_frames_zero.png",
    "bmp/b/badpalettesize.bmp",
    "crash-86214e58da443d2b80820cff9677a38a33dcbbca.tif",
    "decompression_bomb.gif",
    "decompression_bomb.ico",
    "invalid_header_length.jp2",
    "png_decompression_dos.png",
    "seek_too_large.tif",
    "zero_height.j2k",
}


def oracle(shared_data: Path) -> list[tuple[str, str]]:
    """(file, what Pillow does with it) from the table beside the pictures."""
    table = (shared_data / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\S+) \| \d+ \| .*? \| (.*) \|$", table, re.MULTILINE)
    return [(name, seen) for name, seen in rows if (shared_data / "images" / name).is_file()]


def test_decode_tier_agrees_with_pillow_on_every_file(shared_data: Path) -> None:
    files = oracle(shared_data)
    assert len(files) > 60
    for name, seen in files:
        codes = {problem.code for problem in images.check(shared_data / "images" / name, "decode")}
        assert bool(codes & BROKEN) == ("fail" in seen), (name, codes, seen)
        assert ("PD410" in codes) == ("frames=1 " not in seen and "fails" not in seen), (name, codes, seen)
        assert ("PD406" in codes) == ("DecompressionBombError" in seen), (name, codes, seen)
        if "CMYK" in seen or "I;16" in seen:
            assert "PD411" in codes, (name, codes, seen)


def test_header_tier_finds_what_can_be_found_without_decoding(shared_data: Path) -> None:
    for name, seen in oracle(shared_data):
        codes = {problem.code for problem in images.check(shared_data / "images" / name, "header")}
        assert bool(codes & BROKEN) == ("fail" in seen and name not in DEEP), (name, codes, seen)


def test_every_sound_file_becomes_rgb(shared_data: Path) -> None:
    for name, seen in oracle(shared_data):
        path = shared_data / "images" / name
        if "fail" in seen:
            with pytest.raises(PrefdataError):
                images.load_rgb(path)
        else:
            assert images.load_rgb(path).mode == "RGB"


def test_exif_orientation_and_bytes(shared_data: Path) -> None:
    upright = images.load_rgb(shared_data / "images" / "hopper.jpg")
    turned = images.load_rgb((shared_data / "images" / "hopper_orientation_6.jpg").read_bytes())
    difference = sum(abs(a - b) for a, b in zip(upright.tobytes(), turned.tobytes(), strict=True)) / (
        128 * 128 * 3
    )
    assert difference < 20


def test_transparency_is_laid_on_white_and_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert images.load_rgb(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    Image.new("I;16", (4, 4), 32768).save(tmp_path / "grey.png")
    assert images.load_rgb(tmp_path / "grey.png").getpixel((0, 0)) == (128, 128, 128)


def test_a_reference_may_not_leave_the_root(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    assert images.resolve("sub/../a.png", root, tmp_path) == root / "a.png"
    for uri in ("../a.png", "/etc/passwd", "sub/../../a.png", "file:///etc/passwd"):
        with pytest.raises(PrefdataError, match="leaves the image root"):
            images.resolve(uri, root, tmp_path)
    with pytest.raises(PrefdataError, match="leaves the image root"):
        images.resolve("../a.png", Path(), tmp_path)
    with pytest.raises(PrefdataError, match="not fetched"):
        images.resolve("https://example.org/a.png", root, tmp_path)


def test_without_a_root_the_data_files_folder_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base, here = tmp_path / "base", tmp_path / "here"
    base.mkdir()
    here.mkdir()
    (here / "a.png").write_bytes(b"x")
    monkeypatch.chdir(here)
    assert images.resolve("a.png", None, base) == Path("a.png")
    (base / "a.png").write_bytes(b"x")
    assert images.resolve("a.png", None, base) == base / "a.png"
    assert images.resolve("none.png", None, base) == base / "none.png"


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "page.png").write_text("<html>404</html>")
    (tmp_path / "lfs.png").write_text("version https://git-lfs.github.com/spec/v1\n")
    cases = {
        "missing.png": "PD401",
        "empty.png": "PD402",
        "page.png": "PD403",
        "lfs.png": "PD403",
        ".": "PD409",
    }
    for name, code in cases.items():
        assert [problem.code for problem in images.check(tmp_path / name, "header")] == [code]


def test_a_pipe_is_no_image_and_nobody_waits_for_its_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(PrefdataError, match=r"a\.png: cannot be decoded .*not a regular file"):
        images.load_rgb(tmp_path / "a.png")
    assert size_of(tmp_path / "a.png") is None


def test_transparent_pixels_are_told(tmp_path: Path) -> None:
    for mode, colour, expected in (
        ("RGBA", (0, 0, 0, 0), ["PD419"]),
        ("RGBA", (0, 0, 0, 255), []),
        ("LA", (0, 9), ["PD419"]),
        ("RGB", (0, 0, 0), []),
    ):
        path = tmp_path / "a.png"
        Image.new(mode, (8, 8), colour).save(path)
        assert [problem.code for problem in images.check(path, "decode")] == expected
