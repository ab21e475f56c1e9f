"""docs/findings.md from the catalogue: `python -m prefdata.findings_page > docs/findings.md`."""

import sys

from prefdata.findings import GROUPS, catalogue, group

_HEAD = """# Findings

What `prefdata validate` can find, by code. Codes are stable. Errors make the exit code 1; warnings do so under
`--strict`. `prefdata explain CODE` prints the same text. This page is generated from the catalogue.
"""


def page() -> str:
    """The whole page."""
    lines = [_HEAD]
    last = ""
    for code, entry in catalogue().items():
        if group(code) != last:
            last = group(code)
            lines.append(f"## PD{GROUPS.index(last)}xx: {last}\n")
        fix = ", mended by `--fix`" if entry.fixable else ""
        lines.append(f"### {code}: {entry.message.replace('{detail}', '…')}\n")
        asked = f", looked for only with `--select PD,{code}`" if entry.on_request else ""
        lines.append(f"{entry.severity.capitalize()}{fix}{asked}. {entry.hint}\n")
        if entry.bad:
            lines.append(
                f"Bad (`{entry.format}`):\n\n```\n{entry.bad}\n```\n\nGood:\n\n```\n{entry.good}\n```\n"
            )
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
