"""Sizes of images, from their headers alone."""

import io
from pathlib import Path

from prefdata.images import PILLOW_ERRORS, open_file


def size_of(source: Path | bytes) -> tuple[int, int] | None:
    """(width, height) as stored; None where the file is missing or not an image."""
    import warnings

    from PIL import Image

    try:
        with (
            warnings.catch_warnings(action="ignore"),
            io.BytesIO(source) if isinstance(source, bytes) else open_file(source) as stream,
            Image.open(stream) as image,
        ):
            return image.size
    except (*PILLOW_ERRORS, Image.DecompressionBombError):
        return None
