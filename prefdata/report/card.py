"""The dataset card, README.md beside a generated data set, with a front matter that the Hugging Face hub accepts.

Nothing in it holds a time or a machine's name, so the same run gives the same card. The decision to question: the
licence is `unknown` until a person writes one, since generated answers stand under the terms of the model and of the
questions, which no program knows.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from prefdata import __version__
from prefdata.jsonl import write_text

_SIZES = (
    (1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"), (100_000_000, "10M<n<100M"),
)  # fmt: skip
_UNKNOWN = "unknown"
_PROVENANCE = "Every row's `meta` names its model, sampling, seed and verdicts."


def write_card(
    path: Path,
    *,
    name: str,
    what: str,
    counts: Mapping[str, Any],
    settings: Mapping[str, Any],
    caveats: str,
    files: Mapping[str, str],
    tags: tuple[str, ...] = (),
    images: bool,
    provenance: str = _PROVENANCE,
) -> None:
    """Write the card.

    counts: what was kept and dropped, nested ones by reason; `pairs`, or `rows`, is the size. files: name -> what it
    holds; the first is the data itself, or a pattern. images: whether any row has one. provenance: where rows tell
    their making. The licence of a card that is there is kept.
    """
    text = card(
        name,
        what,
        counts,
        settings,
        caveats,
        files,
        tags,
        images=images,
        provenance=provenance,
        licence=_licence(path),
    )
    write_text(path, text)


def _licence(path: Path) -> str:
    """The licence that a person wrote into the card at `path`."""
    import yaml

    try:
        front = yaml.safe_load(path.read_text(encoding="utf-8").split("---\n")[1])
        return str(front["license"])
    except (OSError, UnicodeDecodeError, IndexError, KeyError, TypeError, yaml.YAMLError):
        return _UNKNOWN


def card(
    name: str,
    what: str,
    counts: Mapping[str, Any],
    settings: Mapping[str, Any],
    caveats: str,
    files: Mapping[str, str],
    tags: tuple[str, ...] = (),
    *,
    images: bool,
    provenance: str = _PROVENANCE,
    licence: str = _UNKNOWN,
) -> str:
    """The card's text."""
    table = "\n".join(f"| {_cell(label)} | {count} |" for label, count in _counted(counts))
    told = "\n".join(f"| {_cell(key)} | `{_cell(value)}` |" for key, value in settings.items())
    listed = "\n".join(f"- `{file}`: {holds}" for file, holds in files.items())
    beware = f"## Limitations\n\n{caveats}\n\n" if caveats else ""
    told_where = f"{provenance}\n\n" if provenance else ""
    of_pairs = ("preference", "dpo") if "pairs" in counts else ()
    front = _front(
        name,
        licence,
        int(counts.get("pairs", counts.get("rows", 0))),
        next(iter(files)),
        (*of_pairs, "prefdata", *tags),
        images=images,
    )
    return f"""{front}
# {name}

{what}

## Kept and dropped

| | count |
|---|---|
{table}

## How it was made

| setting | value |
|---|---|
{told}

{told_where}{beware}## Licence

Not set. The answers stand under the terms of the model that wrote them, the questions and images under their own;
write the licence into `license` above before publishing.

## Files

{listed}

Made with prefdata {__version__}.
"""


def _front(name: str, licence: str, rows: int, data: str, tags: tuple[str, ...], *, images: bool) -> str:
    import yaml

    size = next((label for limit, label in _SIZES if rows < limit), "100M<n<1B")
    fields = {
        "pretty_name": name,
        "license": licence,
        "task_categories": ["image-text-to-text" if images else "text-generation"],
        "size_categories": [size],
        "tags": list(tags),
        # Without this the hub would take every JSON-lines file of the folder for one data set.
        "configs": [{"config_name": "default", "data_files": data}],
    }
    return "---\n" + str(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True)) + "---\n"


def _counted(counts: Mapping[str, Any]) -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for name, value in counts.items():
        if isinstance(value, Mapping):
            rows += [(f"{name}: {reason}", count) for reason, count in value.items()]
        else:
            rows.append((name, value))
    return rows


def _cell(value: Any) -> str:
    """Text that stays inside its cell of a table."""
    return str(value).replace("|", "\\|").replace("`", "'").replace("\n", " ")
