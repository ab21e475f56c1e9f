"""Gathers the numbers of one source, record by record, in a few bytes per row.

The decision to question: all lengths (24 bytes a pair) and a hash of every row (90 bytes in its set) are kept instead
of sketches, so that medians, duplicates and the figures of the report are exact: 350 MB for three million pairs, beside
the images' paths and what near-duplicates take.
"""

import statistics
from array import array
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import xxhash

from prefdata.records import PreferencePair, Record
from prefdata.stats.answers import Answer, answers_of, is_pair, prompt_of
from prefdata.stats.near import NearDuplicates
from prefdata.stats.scripts import script_of

Count = Callable[[str], int]


class Lengths:
    """Lengths of one side's answers."""

    def __init__(self) -> None:
        self.chars, self.words, self.tokens = array("I"), array("I"), array("I")

    def add(self, text: str, tokens: Count | None) -> None:
        """Measure one answer."""
        self.chars.append(len(text))
        self.words.append(len(text.split()))
        if tokens is not None:
            self.tokens.append(tokens(text))

    def summary(self) -> dict[str, Any]:
        """`spread` by unit."""
        units = {"characters": self.chars, "words": self.words, "tokens": self.tokens}
        return {name: spread(values) for name, values in units.items() if values}


class Collector:
    """The numbers of one source."""

    def __init__(self, name: str, tokens: Count | None = None, near: NearDuplicates | None = None) -> None:
        self.name, self.tokens, self.near = name, tokens, near
        self.rows = self.pairs = self.unreadable = 0
        self.sides: dict[str, Lengths] = {}
        self.prompts = Lengths()
        self.longer = self.shorter = self.equal_length = 0
        self.same_first_word = self.same_text = self.duplicates = 0
        self.scripts: Counter[str] = Counter()
        self.images = 0
        self.rows_with_images = 0
        self.uris: dict[str, int] = {}
        self._seen: set[int] = set()

    def add(self, record: Record, line: int = 0) -> None:
        """Take one record in."""
        self.rows += 1
        answers = answers_of(record)
        prompt = "\n".join(turn.text for turn in prompt_of(record))
        self.prompts.add(prompt, self.tokens)
        for answer in answers:
            self.sides.setdefault(answer.side, Lengths()).add(answer.text, self.tokens)
        if answers:
            self.scripts[script_of(answers[0].text)] += 1
        if is_pair(record):
            self._compare(answers[0], answers[-1])
        self._media(record)
        if not self._duplicate(record, prompt, answers) and self.near is not None:
            self.near.add("\n".join([prompt, *(answer.text for answer in answers)]), line)

    def _compare(self, best: Answer, worst: Answer) -> None:
        self.pairs += 1
        self.longer += len(best.text) > len(worst.text)
        self.shorter += len(best.text) < len(worst.text)
        self.equal_length += len(best.text) == len(worst.text)
        self.same_text += best.text == worst.text
        first = best.text.split(maxsplit=1)[:1]
        self.same_first_word += bool(first) and first == worst.text.split(maxsplit=1)[:1]

    def _media(self, record: Record) -> None:
        pictures = [media for media in record.media if media.kind == "image"]
        if isinstance(record, PreferencePair) and record.rejected_media:
            pictures += [media for media in record.rejected_media if media.kind == "image"]
        self.images += len(pictures)
        self.rows_with_images += bool(pictures)
        for media in pictures:
            if media.uri is not None:
                self.uris[media.uri] = self.uris.get(media.uri, 0) + 1

    def _duplicate(self, record: Record, prompt: str, answers: tuple[Answer, ...]) -> bool:
        """Count an exact copy of an earlier row; True where it is one."""
        media = [found.uri or xxhash.xxh3_64_hexdigest(found.data or b"") for found in record.media]
        key = xxhash.xxh3_64_intdigest(
            msgspec.json.encode((media, prompt, [answer.text for answer in answers]))
        )
        known = key in self._seen
        self.duplicates += known
        self._seen.add(key)
        return known

    @property
    def length_baseline(self) -> float | None:
        """Share of pairs that "always pick the longer" gets right, equal lengths counting half."""
        return (self.longer + self.equal_length / 2) / self.pairs if self.pairs else None

    def summary(self) -> dict[str, Any]:
        """Everything as JSON values."""
        found: dict[str, Any] = {
            "name": self.name, "rows": self.rows, "pairs": self.pairs, "unreadable": self.unreadable,
            "duplicates": self.duplicates, "images": self.images, "rows_with_images": self.rows_with_images,
            "distinct_images": len(self.uris), "prompt": self.prompts.summary(),
        }  # fmt: skip
        found |= {side: lengths.summary() for side, lengths in self.sides.items()}
        if self.pairs:
            found["length_baseline"] = rounded(self.length_baseline)
            found["same_first_word"] = rounded(self.same_first_word / self.pairs)
            found["same_text"] = self.same_text
        if self.near is not None:
            found["near_duplicates"] = self.near.found
            found["rows_not_compared"] = self.near.passed_over
            found["near_duplicate_lines"] = self.near.pairs
        total = sum(self.scripts.values())
        found["scripts"] = {name: rounded(count / total) for name, count in self.scripts.most_common()}
        return found


def spread(values: Any) -> dict[str, float | int]:
    """Mean, median, 95th percentile (nearest rank: the smallest value that 95 % do not exceed) and maximum."""
    ordered = sorted(values)
    middle = statistics.median(ordered)
    return {
        "mean": round(sum(ordered) / len(ordered), 1),
        "median": int(middle) if middle == int(middle) else middle,
        "p95": nearest_rank(ordered, 95),
        "max": ordered[-1],
    }


def nearest_rank(ordered: Sequence[float], percent: int) -> float:
    """The smallest of some sorted values that so many per cent of them do not exceed."""
    # Whole numbers: 0.95 * 20 is a little more than 19 in floating point.
    return ordered[max(0, -(-len(ordered) * percent // 100) - 1)]


def rounded(share: float | None) -> float | None:
    """A share with four digits."""
    return None if share is None else round(share, 4)
