"""Keys that are nearly the keys of a format: `rejceted`, `imgae`, `Image`.

Asked only for keys that a format does not know, and only where the right key is not there: for the keys it cannot do
without, and for those of media, whose absence makes a row of text that nobody misses. The latter are held to one slip,
since `usage` is two from `image`.
"""

import functools

import msgspec

MEDIA_KEYS = frozenset({"image", "images", "video", "videos", "audio", "audios"})
# Names under which other sets keep the reference of an image.
_OTHER_NAMES = frozenset({"img", "img_path", "image_path", "image_file", "image_url"})
_SHORT = 6


def slips(a: str, b: str) -> int:
    """Letters left out, added, changed or swapped with their neighbour between two words, whatever their case."""
    a, b = a.lower(), b.lower()
    before: list[int] = []
    above = list(range(len(b) + 1))
    for i, left in enumerate(a, start=1):
        row = [i]
        for j, right in enumerate(b, start=1):
            best = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (left != right))
            if i > 1 and j > 1 and left == b[j - 2] and a[i - 2] == right:
                best = min(best, before[j - 2] + 1)
            row.append(best)
        before, above = above, row
    return above[-1]


@functools.lru_cache(maxsize=4096)
def is_near(key: str, name: str) -> bool:
    """Whether a key looks like a slip of the name."""
    if abs(len(key) - len(name)) > 2 or key == name:
        return False
    return slips(key, name) <= (1 if name in MEDIA_KEYS or len(name) < _SHORT else 2)


@functools.lru_cache(maxsize=4096)
def meant(struct: type[msgspec.Struct], key: str) -> str | None:
    """The key of a row struct that an unknown key was meant to be."""
    fields = msgspec.structs.fields(struct)
    names = [field.encode_name for field in fields]
    if key in names:
        return None
    wanted = [field.encode_name for field in fields if field.required or field.encode_name in MEDIA_KEYS]
    near = sorted((slips(key, name), name) for name in wanted if is_near(key, name))
    if near:
        return near[0][1]
    if key in _OTHER_NAMES:
        return next((name for name in ("image", "images") if name in names), None)
    return None
