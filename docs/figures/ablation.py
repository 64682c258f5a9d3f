"""Write the tables of the ablations into docs/training.md, from the result files.

Run from the checkout: python docs/figures/ablation.py
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from selfsup_lifting.cli.tables import ablation_cells
from selfsup_lifting.evaluation.ablation import Row

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "0.1.0"  # the version that ran the ablations
PAGE = ROOT / "docs" / "training.md"
BEGIN, END = "<!-- ablation: generated -->", "<!-- end of ablation -->"


def generated() -> str:
    """Return every table: the ablations in the order of their files, then the reach."""
    parts = []
    for file in sorted(RESULTS.glob("ablation-*.json")):
        report = json.loads(file.read_text())
        rows = [
            Row(**{key: tuple(v) if isinstance(v, list) else v for key, v in row.items()})
            for row in report["rows"]
        ]
        minutes = sum(row.seconds * len(row.p_mpjpe_mm) for row in rows) / 60
        title = f"{report['title']} ({minutes:.0f} minutes of training in total):"
        parts += [title, *fenced(report["command"]), *markdown(ablation_cells(rows))]
    for file in sorted(RESULTS.glob("reach-*.json")):
        report = json.loads(file.read_text())
        parts += [f"{report['title']}:", *fenced(report["command"]), *markdown(reach(report))]
    return "\n".join(parts)


def reach(report: dict) -> list[tuple[str, ...]]:
    """Return the cells of each variant on each part of the data: P-MPJPE / MPJPE."""
    columns = list(next(iter(report["rows"].values())))
    lines = [("P-MPJPE / MPJPE [mm]", *columns)]
    for name, row in report["rows"].items():
        cells = (f"{one['p_mpjpe_mm']:.1f} / {one['mpjpe_mm']:.1f}" for one in row.values())
        lines.append((name, *cells))
    return lines


def markdown(cells: Sequence[Sequence[str]]) -> Iterator[str]:
    """Format a table as Markdown, headings first."""
    heads, *lines = cells
    yield ""
    yield "| " + " | ".join(heads) + " |"
    yield "|---" * len(heads) + "|"
    yield from ("| " + " | ".join(line) + " |" for line in lines)
    yield ""


def fenced(command: str) -> Iterator[str]:
    """Format a command as a code block."""
    yield from ("", "```console", command, "```")


def main() -> None:
    """Replace the tables between the marks."""
    before, rest = PAGE.read_text().split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{generated()}\n{END}{after}")


if __name__ == "__main__":
    main()
