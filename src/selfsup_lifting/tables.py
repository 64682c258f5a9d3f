"""Results as tables a person can read."""

from collections.abc import Mapping, Sequence
from statistics import mean, stdev

from rich.table import Table
from rich.text import Text

from selfsup_lifting.ablation import PUBLISHED, Row, interval
from selfsup_lifting.evaluation import Errors, Evaluation
from selfsup_lifting.reconstruction import Reconstruction, Residuals


def error_table(title: str, rows: Mapping[str, Errors]) -> Table:
    """Lay out errors, one row a name."""
    table = _table(title, "", "P-MPJPE [mm]", "MPJPE [mm]", "poses")
    for name, errors in rows.items():
        table.add_row(name, f"{errors.p_mpjpe_mm:.1f}", f"{errors.mpjpe_mm:.1f}", f"{errors.poses}")
    return table


def ablation_cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Lay out an ablation, the headings first: errors over seeds, gains, shares of the gradient."""
    published = any(row.name in PUBLISHED for row in rows)
    losses = list(dict.fromkeys(loss for row in rows for loss in row.gradient_shares))
    heads = ("", "P-MPJPE [mm]", "MPJPE [mm]", "gain [mm]", "certain", *losses)
    cells = [(*heads, "paper [mm]") if published else heads]
    for row in rows:
        shares = (
            f"{row.gradient_shares[x]:.1%}" if x in row.gradient_shares else "" for x in losses
        )
        line = (row.name, spread(row.p_mpjpe_mm), spread(row.mpjpe_mm), *gain(row), *shares)
        cells.append((*line, f"{PUBLISHED[row.name]:.1f}") if published else line)
    return cells


def spread(values: Sequence[float]) -> str:
    """Write a mean over seeds and its deviation."""
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def gain(row: Row) -> tuple[str, str]:
    """Write the mean gain over the row above with its 95 % interval; is it other than zero?"""
    if not row.gains_mm:
        return "", ""
    middle, half = mean(row.gains_mm), interval(row.gains_mm)
    return f"{middle:+.2f} ± {half:.2f}", "yes" if abs(middle) > half else "no"


def compared_with(evaluation: Evaluation) -> str:
    """Say what was evaluated against what."""
    reference = {
        "truth": "the truth",
        "triangulation": "the triangulation of all views (there is no truth)",
    }[evaluation.reference]
    blind = f"; {evaluation.blind} poses left out" if evaluation.blind else ""
    return f"{evaluation.frames} frames, {evaluation.joints} joints, against {reference}{blind}"


def plain_table(title: str, headings: Sequence[str], *lines: Sequence[str]) -> Table:
    """Lay out what is written already."""
    table = _table(title, *headings)
    for line in lines:
        table.add_row(*line)
    return table


def residual_tables(reconstruction: Reconstruction) -> tuple[Table, Table]:
    """Lay out reprojection errors, by camera and by joint."""
    total = {"all": reconstruction.total}
    return (
        _residual_table("camera", {**reconstruction.per_camera, **total}),
        _residual_table("joint", {**reconstruction.per_joint, **total}),
    )


def expected_error(reconstruction: Reconstruction) -> str:
    """Say how far the points may lie from the truth, if the calibration is right."""
    kept = reconstruction.total.kept_share
    return (
        f"{kept:.1%} of the detections used; their noise of {reconstruction.sigma_px:.1f} px puts "
        f"a point {reconstruction.expected_error_mm:.1f} mm (RMS) from the truth"
    )


def _residual_table(what: str, rows: Mapping[str, Residuals]) -> Table:
    table = _table("Reprojection error", what, "median [px]", "90 % [px]", "seen", "kept")
    for name, row in rows.items():
        table.add_row(
            name,
            f"{row.median_px:.1f}",
            f"{row.p90_px:.1f}",
            f"{row.seen_share:.1%}",
            f"{row.kept_share:.1%}",
        )
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(first)
    for column in columns:
        table.add_column(Text(column), justify="right")
    return table
