"""A video is some of its frames, seen as pictures; what is no video is named in one sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from prefdata import images
from prefdata.errors import PrefdataError
from tests.support.forests import grow, ordinary_logps
from trainers.frames import frames_of, spread
from trainers.logprobs import token_logps

Family = Callable[[str], Path]


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(1)
    return [Image.fromarray(rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)) for _ in range(count)]


def write(path: Path, question: str, **media: list[str]) -> Path:
    """One row as LLaMA-Factory writes it: places in the question, `images` and `videos` in lists of their own."""
    row = {
        "conversations": [{"from": "human", "value": question}],
        "chosen": {"from": "gpt", "value": "A cat!"},
        "rejected": {"from": "gpt", "value": "A dog"},
    }
    path.write_text(json.dumps(row | media) + "\n")
    return path


def test_frames_are_spread_evenly() -> None:
    assert spread(3, 8) == [0, 1, 2]
    assert spread(8, 4) == [1, 3, 5, 7]
    assert spread(100, 3) == [16, 50, 83]


def test_a_folder_is_read_in_the_order_of_its_numbers(tmp_path: Path) -> None:
    for number, picture in enumerate(pictures(12)):
        picture.save(tmp_path / f"f{number}.png")
    (tmp_path / "notes.txt").write_text("no frame")
    names = [Path(frame).name for frame in frames_of(tmp_path, 4) if isinstance(frame, Path)]
    assert names == ["f1.png", "f4.png", "f7.png", "f10.png"]


def test_an_animation_gives_its_own_frames(tmp_path: Path) -> None:
    first, *rest = pictures(6)
    first.save(tmp_path / "a.webp", save_all=True, append_images=rest, lossless=True)
    found = [np.asarray(images.load_rgb(frame)) for frame in frames_of(tmp_path / "a.webp", 2)]
    assert [array.tolist() for array in found] == [np.asarray(p).tolist() for p in (rest[0], rest[3])]


@pytest.mark.parametrize("kind", ["llava", "internvl", "smolvlm", "qwen3_vl"])
def test_a_video_before_an_image_is_trained_like_its_frames(
    kind: str, family: Family, tmp_path: Path
) -> None:
    """The same tree as of a row that names the frames as images, in the order of their places, whatever the lists'."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, picture in enumerate(pictures(5)):
        picture.save(folder / f"{number}.png")
    pictures(1)[0].save(tmp_path / "still.png")
    video = write(tmp_path / "v.jsonl", "<video><image>Moves?", images=["still.png"], videos=["frames"])
    names = ["frames/1.png", "frames/3.png", "still.png"]
    listed = write(tmp_path / "i.jsonl", "<image><image><image>Moves?", images=names)
    grove = grow(family(kind), video, video_frames=2)
    (tree,), (wanted,) = grove.trees, grow(family(kind), listed).trees
    assert (tree.trunk, tree.images) == (wanted.trunk, wanted.images)
    found = token_logps(grove.model, grove.head, grove.maker.make([tree]))
    assert (found - ordinary_logps(grove, [tree])).abs().max() < 1e-5
    assert torch.isfinite(found).all()


def test_a_video_that_has_changed_is_read_again(family: Family, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    first, second, *rest = pictures(4)
    first.save(tmp_path / "frames" / "0.png")
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second])
    data = write(tmp_path / "v.jsonl", "<video><video>Moves?", videos=["frames", "a.gif"])

    def frames() -> int:
        return len(grow(family("llava"), data, tree_cache=str(tmp_path / "trees")).trees[0].images)

    assert frames() == 3
    second.save(tmp_path / "frames" / "1.png")
    assert frames() == 4
    first.save(tmp_path / "a.gif", save_all=True, append_images=[second, *rest])
    assert frames() == 6


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "film.mp4",
            r"v.jsonl:1: video film.mp4: .*neither a folder of pictures nor an animated picture.*ffmpeg",
        ),
        ("empty", r"v.jsonl:1: video empty: .*a folder without pictures"),
        ("gone.gif", r"v.jsonl:1: video gone.gif"),
    ],
)
def test_what_is_no_video_is_named(name: str, sentence: str, family: Family, tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(64))
    (tmp_path / "empty").mkdir()
    data = write(tmp_path / "v.jsonl", "<video>What moves?", videos=[name])
    with pytest.raises(PrefdataError, match=sentence):
        grow(family("llava"), data)
