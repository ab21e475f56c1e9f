"""Sizes of images, from their headers alone."""

import io
from pathlib import Path

from prefdata.images import PILLOW_ERRORS


def size_of(source: Path | bytes) -> tuple[int, int] | None:
    """(width, height) as stored; None where the file is missing or not an image."""
    import warnings

    from PIL import Image

    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image,
        ):
            return image.size
    except (*PILLOW_ERRORS, Image.DecompressionBombError):
        return None
