"""A video as some of its frames, which the model sees as pictures one after the other.

Where it stands: `build.py` puts the frames of a row's video where the video stood. The decision to question: every
family gets frames as several images, also those whose processors know videos. What is then trained is what the tests
prove for images, on every family alike, and needs no video decoder; price: Qwen-VL's merging of two frames into one
token and the timestamps that some processors write are not used.
"""

import io
import re
from pathlib import Path

from prefdata.errors import PrefdataError

_PICTURES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})


def frames_of(path: Path, count: int) -> tuple[Path | bytes, ...]:
    """At most `count` frames, evenly spread over a folder of pictures or an animated picture; PrefdataError if none."""
    if path.is_dir():
        files = sorted(
            (file for file in path.iterdir() if file.suffix.lower() in _PICTURES),
            key=lambda file: [
                int(part) if part.isdigit() else part for part in re.split(r"(\d+)", file.name)
            ],
        )
        if not files:
            raise PrefdataError(f"{path}: a folder without pictures, so a video without frames.")
        return tuple(files[number] for number in spread(len(files), count))
    return _of_animation(path, count)


def spread(length: int, count: int) -> list[int]:
    """The middles of `count` equal stretches of `length` frames; all frames where there are no more than that."""
    if length <= count:
        return list(range(length))
    return [(2 * number + 1) * length // (2 * count) for number in range(count)]


def _of_animation(path: Path, count: int) -> tuple[bytes, ...]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as animation:
            found = []
            for number in spread(getattr(animation, "n_frames", 1), count):
                animation.seek(number)
                frame = io.BytesIO()
                animation.convert("RGB").save(frame, "PNG")
                found.append(frame.getvalue())
            return tuple(found)
    except UnidentifiedImageError as error:
        raise PrefdataError(
            f"{path}: neither a folder of pictures nor an animated picture; write the frames of a video file into a "
            f"folder (ffmpeg -i {path.name} -vf fps=1 FOLDER/%05d.png) and name the folder."
        ) from error
    except Image.DecompressionBombError as error:
        raise PrefdataError(f"{path}: {str(error).rstrip('.')}.") from error
