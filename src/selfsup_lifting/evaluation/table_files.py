"""Write result tables as JSON, CSV or LaTeX."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path

from selfsup_lifting.atomic_write import replacing, require_target
from selfsup_lifting.evaluation.evaluate import Evaluation, nan_to_none
from selfsup_lifting.safe_text import for_latex, for_spreadsheet, on_one_line

# Headings of Human3.6M's actions, as in the tables of Martinez et al. (ICCV 2017).
SHORT_ACTIONS: Mapping[str, str] = {
    "Directions": "Direct.", "Discussion": "Discuss", "Greeting": "Greet", "Phoning": "Phone",
    "Posing": "Pose", "Purchases": "Purch.", "SittingDown": "SitD.", "Smoking": "Smoke",
    "Waiting": "Wait", "WalkDog": "WalkD.", "Walking": "Walk", "WalkTogether": "WalkT.",
}  # fmt: skip


@dataclass(frozen=True)
class ResultTable:
    """One table of results.

    Attributes:
        title: What the table shows.
        columns: The heading of each number in a row.
        rows: For each row its name and its numbers; NaN where there is none.
        notes: How the evaluation differs from the published one, and what is not published.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float, ...]], ...]
    notes: tuple[str, ...] = ()


def save_tables(path: Path, evaluation: Evaluation, tables: Sequence[ResultTable]) -> None:
    """Write an evaluation with its tables as .json, or the tables alone as .csv or .tex."""
    with replacing(path) as temporary:
        WRITERS[path.suffix](temporary, evaluation, tables)


def require_table(path: Path, *, overwrite: bool = False) -> None:
    """Refuse a file that tables cannot be written to, before any work is done."""
    if path.suffix not in WRITERS:
        raise ValueError(f"{path}: tables are written as {', '.join(WRITERS)}")
    require_target(path, overwrite=overwrite)


def format_number(number: float) -> str:
    """Format a number of a table; NaN becomes an empty cell."""
    return "" if isnan(number) else f"{number:.1f}"


def _write_json(path: Path, evaluation: Evaluation, tables: Sequence[ResultTable]) -> None:
    plain = [{**asdict(table), "rows": dict(table.rows)} for table in tables]
    report = nan_to_none({**evaluation.as_dict(), "tables": plain})
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _write_csv(path: Path, _: Evaluation, tables: Sequence[ResultTable]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        for table in tables:
            lines.writerow(map(for_spreadsheet, [table.title, *table.columns]))
            for name, numbers in table.rows:
                lines.writerow(
                    [for_spreadsheet(name), *("" if isnan(one) else repr(one) for one in numbers)]
                )
            lines.writerows([on_one_line(f"note: {note}")] for note in table.notes)


def _write_latex(path: Path, _: Evaluation, tables: Sequence[ResultTable]) -> None:
    path.write_text(latex(tables), encoding="utf-8")


def latex(tables: Sequence[ResultTable]) -> str:
    """Return tables as LaTeX, for the package booktabs; names cannot act as commands."""
    lines = ["% \\usepackage{booktabs}"]
    for table in tables:
        headings = (for_latex(SHORT_ACTIONS.get(column, column)) for column in table.columns)
        rows = (
            " & ".join([for_latex(name), *map(format_number, numbers)])
            for name, numbers in table.rows
        )
        lines += [
            "\\begin{table}", "\\centering", f"\\caption{{{for_latex(table.title)}}}",
            f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}", "\\toprule",
            f" & {' & '.join(headings)} \\\\", "\\midrule",
            *(f"{row} \\\\" for row in rows), "\\bottomrule", "\\end{tabular}", "\\end{table}",
            *(f"% {on_one_line(note)}" for note in table.notes), "",
        ]  # fmt: skip
    return "\n".join(lines)


Writer = Callable[[Path, Evaluation, Sequence[ResultTable]], None]
WRITERS: Mapping[str, Writer] = {".json": _write_json, ".csv": _write_csv, ".tex": _write_latex}
