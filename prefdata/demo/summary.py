"""What the demo shows at its end: a table for the terminal and one self-contained page.

Every text on the page comes from data and is escaped; the page loads nothing from anywhere.
"""

import base64
import html
from pathlib import Path
from string import Template
from typing import Any

from prefdata.demo.steps import kept_result, lines
from prefdata.jsonl import write_text

PAGE = "summary.html"
_SHOWN_PAIRS = 6
_STAGES = {"base": "base model", "sft": "SFT on the chosen answers", "mpo": "MPO on the pairs"}


def table(out: Path, figures: dict[str, Any]) -> str:
    """The result as plain text, with what to look at and type next."""
    pairs = figures["pairs"]
    rows = [("", "accuracy", "95 % interval", "exact list", "hallucination")]
    for name, title in _STAGES.items():
        rows.append((title, *_cells(figures, name)))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    drawn = "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    )
    parts = [
        drawn,
        f"Trained on {pairs['correctness']} correctness pairs and {pairs['dropout_ntp']} DropoutNTP pairs that the "
        "model made itself;\nno reference answer is in them. "
        f"{figures['held_out']} held-out questions, {figures['seconds']:.0f} s in all.",
        "What ran (any step works alone, on your own data too):\n"
        + "\n".join(f"  {command}" for command in figures["commands"]),
        f"Look at the pairs: {out / PAGE}\nFigures: {out / 'demo.json'}",
    ]
    return "\n\n".join(parts)


def write_page(out: Path, figures: dict[str, Any]) -> Path:
    """Write `out/summary.html`: the table, pairs with their pictures, the commands."""
    body = "".join(_row(title, _cells(figures, name)) for name, title in _STAGES.items())
    shown = "".join(
        f"<h2>{html.escape(title)}</h2>" + "".join(_pair(out, row) for row in rows[:_SHOWN_PAIRS])
        for title, rows in _pairs(out).items()
    )
    commands = html.escape("\n".join(figures["commands"]))
    page = _PAGE.substitute(
        body=body,
        pairs=shown,
        commands=commands,
        held_out=figures["held_out"],
        seed=figures["seed"],
        seconds=round(figures["seconds"]),
    )
    path = out / PAGE
    write_text(path, page)
    return path


def _row(title: str, cells: tuple[str, ...]) -> str:
    return f"<tr><th scope=row>{html.escape(title)}</th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"


def _cells(figures: dict[str, Any], name: str) -> tuple[str, str, str, str]:
    low, high = figures[name]["ci95"]
    return (
        f"{figures[name]['accuracy']:.1%}",
        f"{low:.1%} - {high:.1%}",
        f"{figures[name]['exact_list']:.1%}",
        f"{figures['hallucination'][name]:.1%}",
    )


def _pairs(out: Path) -> dict[str, list[dict[str, Any]]]:
    titles = {"cot-pairs": "Correctness pairs", "dropout-ntp": "DropoutNTP pairs"}
    return {title: lines(Path(kept_result(out, step)["pairs"])) for step, title in titles.items()}


def _pair(out: Path, row: dict[str, Any]) -> str:
    picture = base64.b64encode((out / row["image"]).read_bytes()).decode()
    chosen, rejected = row["chosen"], row["rejected"]
    shared = 0
    while shared < min(len(chosen), len(rejected)) and chosen[shared] == rejected[shared]:
        shared += 1
    return (
        f'<article><img alt="" src="data:image/png;base64,{picture}"><div>'
        f"<p class=q>{html.escape(row['question'])}</p>"
        f"<p class=c><b>chosen</b> {_split(chosen, shared)}</p>"
        f"<p class=r><b>rejected</b> {_split(rejected, shared)}</p></div></article>"
    )


def _split(text: str, shared: int) -> str:
    """The part both answers share is greyed."""
    return f"<span class=s>{html.escape(text[:shared])}</span>{html.escape(text[shared:])}"


_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>prefdata demo</title><style>
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;
padding:0 1rem}
table{border-collapse:collapse}th,td{padding:.3rem .8rem;text-align:right;border-bottom:1px solid #8886}
th[scope=row]{text-align:left}
article{display:flex;gap:1rem;margin:1rem 0;padding:.8rem;border:1px solid #8886;border-radius:8px}
img{width:128px;height:128px;image-rendering:pixelated;flex:none}p{margin:.2rem 0}.q{font-weight:600}.s{opacity:.5}
.c b{color:#1a7f37}.r b{color:#cf222e}pre{overflow-x:auto;padding:1rem;border:1px solid #8886;border-radius:8px}
article p{white-space:pre-wrap}@media(max-width:30rem){article{flex-direction:column}}
</style></head><body><h1>prefdata demo</h1>
<p>$held_out held-out questions, seed $seed, $seconds seconds. Every pair was made by the model itself.</p>
<table><thead><tr><th></th><th>accuracy</th><th>95 % interval</th><th>exact list</th><th>hallucination</th></tr></thead>
<tbody>$body</tbody></table>$pairs<h2>Commands</h2><pre>$commands</pre></body></html>
""")
