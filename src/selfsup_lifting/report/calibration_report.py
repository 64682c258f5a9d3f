"""The report of a calibration: the cameras before and after, and how well they agree now."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isnan
from pathlib import Path

from multiview_geom import Cameras
from selfsup_lifting.evaluation.evaluate import nan_to_none
from selfsup_lifting.recording import Recording
from selfsup_lifting.report.page import Section, paragraph, save_report, table
from selfsup_lifting.report.recording_parts import rig_figures
from selfsup_lifting.report.recording_report import agreement_parts
from selfsup_lifting.report.reproduction import reproduction_section, settings_section
from selfsup_lifting.self_calibration.measure import CalibrationReport
from selfsup_lifting.upright import world_up

# Recordings whose agreement is shown.
MOST_SHOWN = 3


def save_calibration_report(
    path: Path,
    found: CalibrationReport,
    recordings: Sequence[Recording],
    before: Cameras | None,
    *,
    settings: object,
    command: str,
) -> None:
    """Write a report of calibrated cameras.

    Args:
        path: The file; an existing file is replaced.
        found: The cameras, and how good they are.
        recordings: The recordings that they were calibrated from.
        before: The cameras before; None if there were none.
        settings: What could change, and what gave the scale.
        command: The command that was called.
    """
    errors = _arrow(found.held_out_before_px, found.held_out_after_px)
    lead = [paragraph(f"Median reprojection error on held-out frames: {errors} px.", "lead")]
    shown = [replace(one, cameras=found.cameras) for one in recordings[:MOST_SHOWN]]
    sections = [
        Section("Cameras", tuple(_cameras(found, before))),
        *(Section(one.name, tuple(agreement_parts(one))) for one in shown),
        settings_section("What could change beside the poses, and what gave the scale.", settings),
        reproduction_section([command]),
    ]
    title = f"Calibration from {recordings[0].name}"
    save_report(path, title, lead, sections, nan_to_none({"calibration": found.as_dict()}))


def _cameras(found: CalibrationReport, before: Cameras | None) -> Iterator[str]:
    yield from (paragraph(note, "warning") for note in found.notes)
    unit = "mm" if found.is_metric else "1e-3"
    headings = ("camera", "fitted [px]", "held out [px]", f"moved [{unit}]", "turned [deg]",
                "focal length [px]")  # fmt: skip
    rows = [
        (
            name,
            _arrow(row.before_px, row.after_px),
            _arrow(row.held_out_before_px, row.held_out_after_px),
            f"{_known(1000 * row.moved, 1)} ± {1000 * row.moved_sigma:.1f}",
            f"{_known(row.turned_deg, 2)} ± {row.turned_sigma_deg:.2f}",
            f"{row.focal_px:.1f} ± {row.focal_sigma_px:.1f}",
        )
        for name, row in found.per_camera.items()
    ]
    yield table(headings, rows)
    yield paragraph(f"Scale from {found.scale}; vertical from {found.vertical}.", "note")
    if before is not None:
        yield paragraph("Before:")
        yield rig_figures(before, world_up(before))
        yield paragraph("After:")
    yield rig_figures(found.cameras, world_up(found.cameras))


def _arrow(before: float, after: float) -> str:
    return f"{after:.1f}" if isnan(before) else f"{before:.1f} → {after:.1f}"


def _known(value: float, digits: int) -> str:
    return "" if isnan(value) else f"{value:.{digits}f}"
