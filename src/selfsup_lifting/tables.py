"""Results as tables a person can read."""

from collections.abc import Mapping

from rich.table import Table
from rich.text import Text

from selfsup_lifting.evaluation import Errors, Evaluation
from selfsup_lifting.reconstruction import Reconstruction, Residuals


def error_table(title: str, rows: Mapping[str, Errors]) -> Table:
    """Lay out errors, one row a name."""
    table = _table(title, "", "P-MPJPE [mm]", "MPJPE [mm]", "poses")
    for name, errors in rows.items():
        table.add_row(name, f"{errors.p_mpjpe_mm:.1f}", f"{errors.mpjpe_mm:.1f}", f"{errors.poses}")
    return table


def compared_with(evaluation: Evaluation) -> str:
    """Say what was evaluated against what."""
    reference = {
        "truth": "the truth",
        "triangulation": "the triangulation of all views (there is no truth)",
    }[evaluation.reference]
    blind = f"; {evaluation.blind} poses left out" if evaluation.blind else ""
    return f"{evaluation.frames} frames, {evaluation.joints} joints, against {reference}{blind}"


def residual_tables(reconstruction: Reconstruction) -> tuple[Table, Table]:
    """Lay out reprojection errors, by camera and by joint."""
    total = {"all": reconstruction.total}
    return (
        _residual_table("camera", {**reconstruction.per_camera, **total}),
        _residual_table("joint", {**reconstruction.per_joint, **total}),
    )


def _residual_table(what: str, rows: Mapping[str, Residuals]) -> Table:
    table = _table("Reprojection error", what, "median [px]", "90 % [px]", "sightings", "seen")
    for name, row in rows.items():
        table.add_row(
            name,
            f"{row.median_px:.1f}",
            f"{row.p90_px:.1f}",
            f"{row.sightings}",
            f"{row.seen_share:.1%}",
        )
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    table.add_column(first)
    for column in columns:
        table.add_column(Text(column), justify="right")
    return table
