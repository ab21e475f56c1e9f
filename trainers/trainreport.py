"""`train_report.html`: a run on one page that opens offline - curves, warnings, settings, versions.

Where it stands: `steplog.py` writes it when a run ends or stops, from the files of the output folder alone; so it can
be made again at any time, and after a resume it shows the whole run. The decision to question: it borrows the style
sheet of `prefdata.report` and has no script at all; its content security policy allows nothing but its own style.
"""

import base64
import hashlib
import math
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from prefdata import __version__
from prefdata.jsonl import read_lines, write_text
from trainers.claim import CARD_FILE
from trainers.config import TrainConfig
from trainers.curves import Series, curves, number
from trainers.watch import warnings

FILE = "train_report.html"

_CHARTS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    ("Loss", (("plain", "loss", "all"),)),
    ("Parts of the loss, unweighted", (
        ("good", "loss_sft", "sft"), ("plain", "loss_dpo", "dpo"), ("bad", "loss_bco", "bco"),
    )),
    ("Rewards", (("good", "reward_chosen", "chosen"), ("bad", "reward_rejected", "rejected"))),
    ("Scores", (("good", "score_chosen", "chosen"), ("bad", "score_rejected", "rejected"))),
    ("Margin", (("plain", "margin", "chosen - rejected"),)),
    ("Share of pairs", (("good", "accuracy", "right"), ("warn", "ties", "ties"))),
    ("Log-probability per token", (("good", "logp_chosen", "chosen"), ("bad", "logp_rejected", "rejected"))),
    ("Log-probability of the end of turn", (("good", "logp_end", "chosen"),)),
    ("Distance from the reference, nats per answer", (("plain", "kl", "KL (k2)"),)),
    ("Shift of the quality loss", (("plain", "delta", "delta"),)),
    ("Gradient norm before clipping", (("plain", "grad_norm", "norm"),)),
    ("Learning rate", (("plain", "learning_rate", "rate"),)),
    ("Speed", (("plain", "tokens_per_second", "input tokens/s"),)),
    ("Pairs or conversations per second", (("plain", "pairs_per_second", "per second"),)),
)  # fmt: skip
"""Title, then (CSS class, key of the log, label) of each line. Numbers of other stages get a figure of their own."""
_NO_FIGURE = {"step", "pairs", "tokens", "seconds", "trunk_saved"}
_COLOURS = {"plain": "accent", "good": "good", "bad": "bad", "warn": "warn"}
_STYLE = "".join(
    f"svg .line-{kind} {{ stroke: var(--{name}); }} .key-{kind} {{ color: var(--{name}); }}\n"
    f"svg .band-{kind}, svg .dot-{kind} {{ fill: var(--{name}); }}\n"
    for kind, name in _COLOURS.items()
)
_STYLE += """
svg polyline { fill: none; stroke-width: 1.6; stroke-linejoin: round; }
svg polygon { fill-opacity: .16; }
table.settings { width: auto; } table.settings td { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.settings td:first-child { min-width: 9rem; color: var(--soft); }
.set td { font-weight: 600; }
"""


def write_report(folder: Path) -> Path | None:
    """Write the page of a run's folder; None where no step has been logged."""
    lines = read_log(folder / "train_log.jsonl")
    if not lines:
        return None
    card = msgspec.json.decode((folder / CARD_FILE).read_bytes()) if (folder / CARD_FILE).is_file() else {}
    path = folder / FILE
    write_text(path, _page(folder, lines, card))
    return path


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log; one that was torn by a kill is left out. What JSON has no number for is NaN again."""
    lines = []
    if path.is_file():
        for _, line in read_lines(path):
            try:
                entry = msgspec.json.decode(line, type=dict[str, Any])
            except msgspec.DecodeError:
                continue
            lines.append({key: math.nan if value is None else value for key, value in entry.items()})
    return lines


def _page(folder: Path, lines: Sequence[dict[str, Any]], card: dict[str, Any]) -> str:
    style = files("prefdata.report").joinpath("page.css").read_text("utf-8") + _STYLE
    policy = f"default-src 'none'; style-src 'sha256-{_hash(style)}'; base-uri 'none'; form-action 'none'"
    settings = card.get("config", {})
    title = f"Training: {settings.get('stage', '')} of {Path(str(settings.get('model', folder))).name}"
    said = [f'<p class="warning">{escape(text)}.</p>' for text in warnings(lines)]
    body = [
        f'<section id="summary"><div id="tiles">{_tiles(lines, card)}</div>{_state(lines, card)}</section>',
        f"<section><h2>Warnings</h2>{''.join(said) or '<p class=notice>None.</p>'}</section>",
        f'<section><h2>Curves</h2><div class="figures">{_figures(lines)}</div></section>',
        _left_out(folder),
        f"<section><h2>Settings</h2>{_settings(settings)}</section>",
        f"<section><h2>Versions</h2>{_table(_versions(card))}</section>",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n<title>{escape(title)}</title>\n'
        f"<style>{style}</style>\n</head>\n"
        f'<body>\n<header><h1>{escape(title)}</h1><span class="notice">prefdata {__version__}</span></header>\n<main>\n'
        + "\n".join(body)
        + "\n</main>\n</body>\n</html>\n"
    )


def _hash(style: str) -> str:
    return base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()


def _tiles(lines: Sequence[dict[str, Any]], card: dict[str, Any]) -> str:
    first, last = lines[0], lines[-1]
    tiles = [
        (f"{last['step']:,} of {card.get('steps', last['step']):,}", "steps"),
        (f"{sum(line['pairs'] for line in lines):,}" if last["pairs"] else f"{len(lines):,}", "pairs seen"),
        (f"{number(first['loss'])} → {number(last['loss'])}", "loss"),
    ]
    if "accuracy" in last:
        tiles.append((f"{last['accuracy']:.0%}", "pairs right, last step"))
    if "margin" in last:
        tiles.append((number(last["margin"]), "margin, last step"))
    if last.get("trunk_saved"):
        tiles.append((f"{last['trunk_saved']:.0%}", "tokens not run twice"))
    tiles.append((_duration(last["seconds"]), "since this start"))
    return "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>' for value, name in tiles
    )


def _state(lines: Sequence[dict[str, Any]], card: dict[str, Any]) -> str:
    done, planned = lines[-1]["step"], card.get("steps")
    if planned is None or done >= planned:
        return ""
    return f'<p class="warning">The run stopped after step {done:,} of {planned:,}.</p>'


def _figures(lines: Sequence[dict[str, Any]]) -> str:
    steps = [line["step"] for line in lines]
    known = {key for line in lines for key, value in line.items() if isinstance(value, int | float)}
    figures = []
    for title, parts in _CHARTS:
        present: list[Series] = [
            (kind, label, _values(lines, key)) for kind, key, label in parts if key in known
        ]
        known -= {key for _, key, _ in parts}
        if present:
            figures.append(curves(title, steps, present))
    figures += [
        curves(key, steps, [("plain", "", _values(lines, key))]) for key in sorted(known - _NO_FIGURE)
    ]
    return "".join(figures)


def _values(lines: Sequence[dict[str, Any]], key: str) -> list[float]:
    return [
        float(value) if isinstance(value := line.get(key), int | float) else float("nan") for line in lines
    ]


def _left_out(folder: Path) -> str:
    rows = read_log(folder / "left_out.jsonl")
    if not rows:
        return ""
    shown = "".join(
        f"<li>{escape(str(row['place']))}: {escape(str(row['reason']))}</li>" for row in rows[:20]
    )
    more = f"<li>and {len(rows) - 20:,} more in left_out.jsonl</li>" if len(rows) > 20 else ""
    return f'<section class="code"><h2>{len(rows):,} rows left out</h2><ul>{shown}{more}</ul></section>'


def _settings(settings: dict[str, Any]) -> str:
    """Those that were given first and bold."""
    usual = {field.encode_name: field.default for field in msgspec.structs.fields(TrainConfig)}
    given = [(key, value) for key, value in settings.items() if key not in usual or usual[key] != value]
    rest = [(key, value) for key, value in settings.items() if (key, value) not in given]
    summary = f'<summary class="notice">{len(rest)} settings as usual</summary>'
    return f"{_table(given, 'set')}<details>{summary}{_table(rest)}</details>"


def _versions(card: dict[str, Any]) -> list[tuple[str, Any]]:
    return [("prefdata", card.get("prefdata", __version__)), *card.get("versions", {}).items()]


def _table(rows: Sequence[tuple[str, Any]], kind: str = "") -> str:
    cells = "".join(
        f'<tr class="{kind}"><td>{escape(str(key))}</td><td>{escape(str(value))}</td></tr>'
        for key, value in rows
    )
    return f'<table class="settings">{cells}</table>'


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"
