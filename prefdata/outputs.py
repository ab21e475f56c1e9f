"""A report as people, programs and GitHub read it.

Called by `prefdata validate` when the checking is done. Text groups findings by code, errors first, and shows the first
places of each; the other forms keep the order of files and lines.
"""

from collections import Counter

import msgspec

from prefdata.findings import Finding, catalogue
from prefdata.validate import Report

_SHOWN = 5
_SHOWN_JSON = 10_000
# GitHub shows ten annotations per step and kind; a few more do no harm in the log.
_SHOWN_GITHUB = 50


def rendered(report: Report, output_format: str, limit: int | None) -> bytes | str | None:
    """What goes to standard output; `limit` is the number of places shown per code (0: all, None: the usual)."""
    if output_format == "json":
        shown = _first(report.findings, _SHOWN_JSON if limit is None else limit)
        document = {
            "files": report.files,
            "findings": shown,
            "counts": report.counts,
            "not_shown": _not_shown(report, shown),
            "unreadable": report.unreadable,
            "rows": report.rows,
            "seconds": report.seconds,
        }
        return msgspec.json.encode(document)
    if output_format == "github":
        shown = _first(report.findings, _SHOWN_GITHUB if limit is None else limit)
        more = (
            f"::notice title={code}::... and {count} more of {code}; --max-findings 0 shows all."
            for code, count in _not_shown(report, shown).items()
        )
        return "\n".join((*map(_unread, report.unreadable), *map(_annotation, shown), *more))
    if report.files or not report.unreadable:
        return _text(report, _SHOWN if limit is None else limit)
    return None


def _annotation(found: Finding) -> str:
    place = f"file={_property(found.path)},line={found.line},title={found.code}"
    return f"::{found.severity} {place}::{_message(f'{found.message}. {found.hint}')}"


def _unread(sentence: str) -> str:
    """A file that could not be checked; sentences of this kind begin with its name."""
    name = sentence.partition(": ")[0]
    return f"::error file={_property(name)},title=not readable::{_message(sentence)}"


def _first(findings: list[Finding], limit: int) -> list[Finding]:
    """At most `limit` findings of each code; 0 means all."""
    if not limit:
        return findings
    seen: dict[str, int] = {}
    shown = []
    for found in findings:
        seen[found.code] = seen.get(found.code, 0) + 1
        if seen[found.code] <= limit:
            shown.append(found)
    return shown


def _not_shown(report: Report, shown: list[Finding]) -> dict[str, int]:
    """How many findings of a code are counted and not among those shown."""
    seen = Counter(found.code for found in shown)
    return {code: count - seen[code] for code, count in report.counts.items() if count > seen[code]}


def _text(report: Report, limit: int) -> str:
    lines = []
    by_code: dict[str, list[Finding]] = {}
    for found in report.findings:
        by_code.setdefault(found.code, []).append(found)
    for code, findings in sorted(by_code.items(), key=lambda item: (findings_order(item[0]), item[0])):
        count = report.counts[code]
        lines.append(f"{code} {catalogue()[code].severity}, {_times(count)}")
        shown = findings[: limit or None]
        for found in shown:
            field = f" {found.field}:" if found.field else ""
            lines.append(f"  {_line(found.path)}:{found.line}:{field} {found.message}")
        if count > len(shown):
            lines.append(f"  ... and {count - len(shown)} more")
        lines.append(f"  = {catalogue()[code].hint}")
        lines.append("")
    skipped = [file for file in report.files if file.format == "unknown"]
    lines += [
        f"empty: {_line(file.path)}" for file in report.files if file.format == "empty" and not file.errors
    ]
    for file in skipped:
        lines.append(f"not checked: {_line(file.path)} (no known format)")
    if (share := report.lengths.share) is not None:
        lines.append(f"The chosen answer is the longer one in {share:.1%} of {report.lengths.pairs} pairs.")
    formats = sorted({file.format for file in report.files} - {"unknown"})
    checked = len(report.files) - len(skipped)
    lines.append(
        f"{many(report.rows, 'row')} in {checked} file{'' if checked == 1 else 's'} ({', '.join(formats) or 'none'}): "
        f"{many(report.errors, 'error')}, {many(report.warnings, 'warning')}."
    )
    return "\n".join(lines)


def findings_order(code: str) -> int:
    """Errors before warnings."""
    return 0 if catalogue()[code].severity == "error" else 1


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def many(count: int, word: str) -> str:
    """A number and its word: 1 row, 2 rows."""
    return f"{count} {word}" if count == 1 else f"{count} {word}s"


def _line(text: str) -> str:
    """A path on one line, whatever it holds."""
    return text.replace("\n", "\\n").replace("\r", "\\r")


def _message(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
