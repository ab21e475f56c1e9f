"""Image bytes of records as files, for formats that hold paths. Names are content hashes: equal images, one file."""

import os
from pathlib import Path

import msgspec
import xxhash

from prefdata.images import check_bytes
from prefdata.jsonl import atomic_writer
from prefdata.records import Media, PreferencePair, Record

_SUFFIXES = {
    b"\xff\xd8\xff": ".jpg",
    b"\x89PNG": ".png",
    b"GIF8": ".gif",
    b"RIFF": ".webp",
    b"BM": ".bmp",
    b"II*\0": ".tif",
    b"MM\0*": ".tif",
}


class Extractor:
    """Writes images into a folder and refers to them relative to the data file that will name them."""

    def __init__(self, folder: Path, target: Path) -> None:
        self._folder = folder
        self._prefix = os.path.relpath(folder, target.parent)
        self._done: set[str] = set()

    def __call__(self, record: Record) -> tuple[Record, tuple[str, ...]]:
        """The record with paths instead of bytes, and what is to be told of bytes that are no image."""
        self._strange: dict[str, None] = {}
        media = tuple(self._out(item) for item in record.media)
        record = msgspec.structs.replace(record, media=media)
        if isinstance(record, PreferencePair) and record.rejected_media is not None:
            others = tuple(self._out(item) for item in record.rejected_media)
            record = msgspec.structs.replace(record, rejected_media=others)
        return record, tuple(self._strange)

    def _out(self, item: Media) -> Media:
        if item.data is None:
            return item
        suffix = next((end for magic, end in _SUFFIXES.items() if item.data.startswith(magic)), ".bin")
        for problem in check_bytes(item.data, "header"):
            if problem.code in ("PD402", "PD403"):
                self._strange["bytes that are no known image (written out as they are)"] = None
        name = xxhash.xxh3_128_hexdigest(item.data) + suffix
        if name not in self._done:
            path = self._folder / name
            if not path.exists():
                with atomic_writer(path) as stream:
                    stream.write(item.data)
            self._done.add(name)
        return msgspec.structs.replace(item, data=None, uri=Path(self._prefix, name).as_posix())
