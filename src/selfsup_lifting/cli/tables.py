"""Show results as tables."""

from collections.abc import Iterator, Mapping, Sequence
from math import degrees, isnan
from statistics import mean, stdev
from textwrap import fill

from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.table import Table
from rich.text import Text

from multiview_geom import CameraSummary
from selfsup_lifting.evaluation.ablation import PUBLISHED, Row, interval
from selfsup_lifting.evaluation.evaluate import Errors, Evaluation, coverage_sentence
from selfsup_lifting.evaluation.inspection import Inspection, RigInspection
from selfsup_lifting.evaluation.table_files import ResultTable, format_number
from selfsup_lifting.residuals import Residuals
from selfsup_lifting.safe_text import on_one_line
from selfsup_lifting.training.profiling import Part, StepProfile
from selfsup_lifting.triangulate import Reconstruction

# A table with more columns of numbers is transposed, so that it fits on a screen.
WIDEST_TABLE = 6
# Columns of an ablation before the shares of the gradient.
ERROR_COLUMNS = 5


def error_table(title: str, rows: Mapping[str, Errors]) -> Table:
    """Make a table of errors, one row per name."""
    lines = [
        (name, f"{errors.p_mpjpe_mm:.1f}", f"{errors.mpjpe_mm:.1f}", f"{errors.poses}")
        for name, errors in rows.items()
    ]
    return plain_table(title, ("", "P-MPJPE [mm]", "MPJPE [mm]", "poses"), *lines)


def ablation_tables(rows: Sequence[Row]) -> Iterator[Table]:
    """Make the tables of an ablation: errors and gains, and shares of the gradient."""
    headings, *lines = ablation_cells(rows)
    losses = len(gradient_losses(rows))
    first, last = ERROR_COLUMNS, ERROR_COLUMNS + losses
    errors = [(*line[:first], *line[last:]) for line in (headings, *lines)]
    yield plain_table("Ablation", *errors)
    shares = [(line[0], *line[first:last]) for line in (headings, *lines)]
    yield plain_table("Shares of the gradient", *shares)


def gradient_losses(rows: Sequence[Row]) -> list[str]:
    """Return the losses of an ablation, in their order."""
    return list(dict.fromkeys(loss for row in rows for loss in row.gradient_shares))


def ablation_cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return the cells of an ablation, headings first: errors, gains, shares of the gradient."""
    published = any(row.name in PUBLISHED for row in rows)
    losses = gradient_losses(rows)
    headings = ("", "P-MPJPE [mm]", "MPJPE [mm]", "gain [mm]", "95 % CI excludes 0", *losses)
    cells = [(*headings, "paper [mm]") if published else headings]
    for row in rows:
        errors = (spread(row.p_mpjpe_mm), spread(row.mpjpe_mm))
        line = (row.name, *errors, *gain(row), *_shares(row, losses))
        cells.append((*line, f"{PUBLISHED[row.name]:.1f}") if published else line)
    return cells


def _shares(row: Row, losses: Sequence[str]) -> Iterator[str]:
    for loss in losses:
        yield f"{row.gradient_shares[loss]:.1%}" if loss in row.gradient_shares else ""


def spread(values: Sequence[float]) -> str:
    """Format a mean over seeds and its standard deviation."""
    return f"{mean(values):.1f} ± {stdev(values):.1f}" if len(values) > 1 else f"{values[0]:.1f}"


def gain(row: Row) -> tuple[str, str]:
    """Format the mean gain with its 95 % interval, and whether the interval excludes zero."""
    if not row.gains_mm:
        return "", ""
    middle, half = mean(row.gains_mm), interval(row.gains_mm)
    if isnan(half):
        return f"{middle:+.2f}", "one seed"
    return f"{middle:+.2f} ± {half:.2f}", "yes" if abs(middle) > half else "no"


def profile_tables(found: StepProfile) -> Iterator[Table]:
    """Make the tables of a profile: the parts of a step, and each loss alone."""
    whole = Part(
        "whole step",
        sum(part.processor_ms for part in found.parts),
        sum(part.device_ms for part in found.parts),
    )
    on_device = whole.device_ms > 0
    headings = ("", "CPU [ms]", *(["GPU [ms]"] if on_device else []), "share")
    titles = ("Time of a step", "Each loss alone, with its gradient")
    for title, parts in zip(titles, ([*found.parts, whole], found.losses), strict=True):
        lines = []
        for part in parts:
            times = [part.processor_ms, part.device_ms][: 1 + on_device]
            share = times[-1] / (whole.device_ms if on_device else whole.processor_ms)
            lines.append((part.name, *(f"{time:.2f}" for time in times), f"{share:.1%}"))
        yield plain_table(title, headings, *lines)


def evaluation_summary(evaluation: Evaluation) -> str:
    """Describe what was compared with which reference, and how many errors the ellipsoids hold."""
    reference = {
        "truth": "the ground truth",
        "triangulation": "the triangulation of all views (without a ground truth)",
    }[evaluation.reference]
    blind = f"; {evaluation.blind} poses without detection or reference" if evaluation.blind else ""
    counted = f"{evaluation.frames} frames, {evaluation.joints} joints, against {reference}{blind}"
    coverage = coverage_sentence(evaluation)
    return f"{counted}\n{coverage}" if coverage else counted


def result_table(table: ResultTable) -> Table:
    """Show a table of results, transposed if it would be too wide."""
    cells = [("", *table.columns)]
    cells += [(name, *map(format_number, numbers)) for name, numbers in table.rows]
    transposed = len(table.columns) > WIDEST_TABLE
    return plain_table(table.title, *(zip(*cells, strict=True) if transposed else cells))


def plain_table(title: str, headings: Sequence[str], *lines: Sequence[str]) -> Table:
    """Make a table of formatted cells; all columns but the first are aligned right.

    Headings take several lines where that makes their column narrower; cells never do, and a table
    with long ones is wider than the terminal.
    """
    table = Table(
        title=on_one_line(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD
    )
    for place, heading in enumerate(headings):
        cells = max((len(line[place]) for line in lines if place < len(line)), default=1)
        narrow = max([cells, *map(len, heading.split())])
        wrapped = fill(heading, narrow, break_on_hyphens=False) if heading else ""
        justify: JustifyMethod = "right" if place else "left"
        table.add_column(Text(wrapped), justify=justify, no_wrap=True, min_width=cells)
    for line in lines:
        table.add_row(*line)
    return table


def residual_tables(reconstruction: Reconstruction) -> tuple[Table, Table]:
    """Make the tables of reprojection errors, by camera and by joint."""
    total = {"all": reconstruction.total}
    return (
        _residual_table("camera", {**reconstruction.per_camera, **total}),
        _residual_table("joint", {**reconstruction.per_joint, **total}),
    )


def expected_error(reconstruction: Reconstruction, *, disagree: bool = False) -> str:
    """Describe the expected 3D error in one line; none is expected of cameras that disagree."""
    used = f"{reconstruction.total.kept_share:.1%} of the detections were used."
    noise = f"{reconstruction.sigma_px:.1f} px"
    if disagree:
        return f"No 3D error can be expected: the cameras disagree ({noise}); {used}"
    if isnan(reconstruction.expected_error_mm):
        return f"No 3D error can be expected: too few detections to know their noise; {used}"
    error = f"{reconstruction.expected_error_mm:.1f} mm RMS"
    return f"Expected 3D error {error}, assuming an exact calibration and {noise} noise; {used}"


def inspection_parts(found: Inspection | RigInspection) -> Iterator[Table | Text]:
    """Show what a source holds, and what looks wrong with it."""
    if isinstance(found, Inspection):
        yield Text(_overview(found))
    else:
        yield Text(f"{found.format} calibration, lengths in {found.unit or 'an unknown unit'}")
    yield _rig_table(found)
    if isinstance(found, Inspection):
        if found.camera_errors:
            lines = [(name, *one.cells()) for name, one in found.camera_errors.items()]
            headings = ("", "left out [px]", "worst pair [px]")
            yield plain_table("Median errors of each camera", headings, *lines)
        shares = [(joint, f"{share:.1%}") for joint, share in found.missing_per_joint.items()]
        yield plain_table("Joints", ("", "missing"), *shares)
        tenths = enumerate(found.confidence_histogram)
        steps = "  ".join(f"{tenth / 10:.1f}: {share:.0%}" for tenth, share in tenths)
        yield Text(f"confidence from  {steps}")
        for name, agreement in found.agreement.items():
            yield Text(f"{name}: {agreement.summary}")
    for warning in found.warnings:
        yield Text(f"warning: {warning}", style="yellow")


def _overview(found: Inspection) -> str:
    rates = " and ".join(f"{fps:g}" for fps in found.fps)
    sizes = ", ".join(f"{what} in {unit}" for what, unit in found.units.items())
    calibrations = "".join(f"calibration: {path}\n" for path in found.calibrations)
    return (
        f"{found.format}, read as {found.reader}: {found.counted}, {found.frames} "
        f"frames at {rates} per second, {len(found.cameras)} cameras, {len(found.joints)} joints "
        f"({found.skeleton}), {'with' if found.truth else 'without'} ground truth\n"
        f"{calibrations}"
        f"{sizes}\n{found.missing_share:.1%} of the detections are missing"
    )


def _rig_table(found: Inspection | RigInspection) -> Table:
    columns = ("size [px]", "focal [px]", "view [deg]", "position", "missing")
    lines = []
    for camera in found.rig:
        missing = people = ""
        if isinstance(found, Inspection):
            missing = f"{found.missing_per_camera.get(camera.name, 1.0):.1%}"
            people = str(found.people.get(camera.name, ""))
        lines.append((camera.name, *_camera_cells(camera), missing, people))
    return plain_table("Cameras", ("", *columns, "people"), *lines)


def _camera_cells(camera: CameraSummary) -> tuple[str, ...]:
    return (
        "unknown" if camera.image_size is None else "x".join(map(str, camera.image_size)),
        " ".join(dict.fromkeys(f"{length:.0f}" for length in camera.focal_length)),
        " ".join(f"{degrees(angle):.0f}" for angle in camera.field_of_view or ()),
        " ".join(f"{coordinate:.2f}" for coordinate in camera.position),
    )


def _residual_table(name: str, rows: Mapping[str, Residuals]) -> Table:
    lines = []
    for label, row in rows.items():
        distances = (f"{row.median_px:.1f}", f"{row.p90_px:.1f}")
        lines.append((label, *distances, f"{row.seen_share:.1%}", f"{row.kept_share:.1%}"))
    headings = (name, "median [px]", "90 % [px]", "detected", "used")
    return plain_table(f"Reprojection error by {name}", headings, *lines)
