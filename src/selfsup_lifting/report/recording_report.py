"""Reports of recordings: what `triangulate` found, and what `inspect` saw."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import degrees
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras, CameraSummary, summarize_cameras
from selfsup_lifting.evaluation.evaluate import nan_to_none
from selfsup_lifting.evaluation.inspection import Inspection, RigInspection
from selfsup_lifting.evaluation.inspection_warnings import PLAIN
from selfsup_lifting.recording import Recording, calibrations_of, distinct
from selfsup_lifting.report.page import Section, figures, paragraph, save_report, table
from selfsup_lifting.report.recording_parts import (
    Panel,
    frame_row,
    residual_figures,
    rig_figures,
    rig_of,
    worst_and_best,
)
from selfsup_lifting.report.reproduction import reproduction_section, settings_section
from selfsup_lifting.residuals import Residuals
from selfsup_lifting.triangulate import Reconstruction, reconstruct
from selfsup_lifting.upright import world_up

# Recordings that a report shows; the others are in its numbers.
MOST_SHOWN = 8
# Frames of each that `inspect` triangulates: bounds the time for long recordings.
MOST_FRAMES = 500


@dataclass(frozen=True)
class Triangulation:
    """A recording with its points, and what is said about it.

    Attributes:
        recording: The recording.
        reconstruction: Its points and residuals.
        summary: How well the cameras agree, and the expected error.
        warnings: What looks wrong, one sentence each.
    """

    recording: Recording
    reconstruction: Reconstruction
    summary: str
    warnings: Sequence[str] = ()


def save_triangulation_report(
    path: Path, found: Sequence[Triangulation], settings: Sequence[object], command: str
) -> None:
    """Write a report of triangulated recordings.

    Args:
        path: The file; an existing file is replaced.
        found: The recordings and their points.
        settings: How they were triangulated, read and smoothed.
        command: The command that was called.
    """
    sections = [
        Section(one.recording.name, tuple(_triangulation(one))) for one in found[:MOST_SHOWN]
    ]
    note = "How the points were triangulated, and what was changed of reading and smoothing."
    sections.append(settings_section(note, *settings))
    sections.append(reproduction_section([command]))
    lead = [paragraph(f"{one.recording.name}: {one.summary}", "lead") for one in found]
    lead += [*_calibrations([one.recording for one in found]), *_note_on_shown(len(found))]
    names = distinct([one.recording.name for one in found])
    data = {name: one.reconstruction.as_dict() for name, one in zip(names, found, strict=True)}
    title = f"Triangulation of {found[0].recording.name}"
    save_report(path, title, lead, sections, nan_to_none({"recordings": data}))


def _note_on_shown(count: int) -> list[str]:
    """Say that pictures of some recordings are left out, if there are many."""
    return [paragraph(f"The first {MOST_SHOWN} of {count} recordings are drawn.")] * (
        count > MOST_SHOWN
    )


def save_inspection_report(
    path: Path,
    found: Inspection | RigInspection,
    recordings: Sequence[Recording],
    command: str,
    *,
    cameras: Cameras | None = None,
) -> None:
    """Write a report of what a source holds.

    Args:
        path: The file; an existing file is replaced.
        found: What `inspect` says.
        recordings: The recordings of the source; none for a calibration alone.
        command: The command that was called.
        cameras: The cameras of a calibration alone.
    """
    shown = recordings[:MOST_SHOWN]
    sections = [
        Section("What looks wrong", tuple(paragraph(one, "warning") for one in found.warnings))
    ]
    lead = [paragraph(f"{found.format}: {len(found.rig)} cameras.", "lead")]
    if isinstance(found, Inspection):
        lead = [paragraph(_overview(found), "lead")]
        lead += [*_calibrations(recordings), *_note_on_shown(len(recordings))]
        lead += [paragraph(f"{name}: {one.summary}") for name, one in found.agreement.items()]
        sections += [Section(one.name, tuple(agreement_parts(one))) for one in shown]
        sections.append(Section("Detections", tuple(_detections(found))))
    drawing = "" if cameras is None else rig_figures(cameras, world_up(cameras))
    sections.append(Section("Cameras", (_camera_table(found.rig), drawing)))
    sections.append(reproduction_section([command]))
    title = f"Inspection of {recordings[0].name}" if recordings else "Inspection of a calibration"
    save_report(path, title, lead, sections, nan_to_none({"inspection": asdict(found)}))


def _calibrations(recordings: Sequence[Recording]) -> list[str]:
    return [paragraph(f"Calibration: {path}") for path in calibrations_of(recordings)]


def _overview(found: Inspection) -> str:
    truth = "with" if found.truth else "without"
    return (
        f"{found.format}: {found.counted}, {found.frames} frames, "
        f"{len(found.cameras)} cameras, {len(found.joints)} joints ({found.skeleton}), {truth} "
        f"ground truth; {found.missing_share:.1%} of the detections are missing."
    )


def agreement_parts(recording: Recording) -> Iterator[str]:
    """Show the rig and, where there are several views, how well they agree without any removal."""
    some = recording.frames(slice(None, None, max(1, recording.frame_count // MOST_FRAMES)))
    if recording.cameras.views == 1:
        residuals = torch.full_like(some.confidence, torch.nan)
        yield rig_figures(some.cameras, world_up(some.cameras))
        yield residual_figures(some, residuals)
        return
    result = reconstruct(some, PLAIN)
    yield paragraph("Joints are triangulated from all detections; no outlier is removed.", "note")
    yield rig_of(some, result.points)
    yield residual_figures(some, result.residuals)
    yield from _frames(some, result)


def _detections(found: Inspection) -> Iterator[str]:
    people = {name: str(count) for name, count in found.people.items()}
    cameras = [
        (name, f"{share:.1%}", people.get(name, ""))
        for name, share in found.missing_per_camera.items()
    ]
    yield table(("camera", "missing", "people"), cameras)
    errors = [(name, *one.cells()) for name, one in found.camera_errors.items()]
    if errors:
        yield table(("camera", "left out [px]", "worst pair [px]"), errors)
    joints = [(name, f"{share:.1%}") for name, share in found.missing_per_joint.items()]
    yield table(("joint", "missing"), joints)
    tenths = [(f"{place / 10:.1f} to {(place + 1) / 10:.1f}", f"{share:.1%}")
              for place, share in enumerate(found.confidence_histogram)]  # fmt: skip
    yield table(("confidence", "share"), tenths)


def _camera_table(rig: Sequence[CameraSummary]) -> str:
    rows = [
        (
            one.name,
            "unknown" if one.image_size is None else " x ".join(map(str, one.image_size)),
            " ".join(f"{length:.0f}" for length in one.focal_length),
            " ".join(f"{degrees(angle):.0f}" for angle in one.field_of_view or ()),
            " ".join(f"{coordinate:.2f}" for coordinate in one.position),
        )
        for one in rig
    ]
    headings = ("camera", "size [px]", "focal length [px]", "field of view [deg]", "position")
    return table(headings, rows)


def _triangulation(found: Triangulation) -> Iterator[str]:
    recording, result = found.recording, found.reconstruction
    yield from (paragraph(warning, "warning") for warning in found.warnings)
    yield rig_of(recording, result.points)
    yield residual_figures(recording, result.residuals)
    yield from _frames(recording, result)
    yield _residual_table("camera", {**result.per_camera, "all": result.total})
    yield _residual_table("joint", result.per_joint)
    yield _camera_table(summarize_cameras(recording.cameras))


def _frames(recording: Recording, result: Reconstruction) -> Iterator[str]:
    """Show the frames with the lowest, the median and the highest reprojection error."""
    yield paragraph(
        "In these pictures, blue is the left side of the body and orange the right one; green is "
        "the projected 3D pose.",
        "note",
    )
    yield figures(*_frame_rows(recording, result))


def _frame_rows(recording: Recording, result: Reconstruction) -> Iterator[str]:
    up = world_up(recording.cameras, recording.skeleton, result.points)
    seen = recording.keypoints.isfinite().all(dim=-1).sum(dim=-1)
    for name, frame in worst_and_best(_comparable(result.residuals)).items():
        view = int(seen[frame].argmax())
        error = float(result.residuals[frame].nanmean())
        where = (
            f"frame {frame}, in {int((seen[frame] > 0).sum())} of {recording.cameras.views} "
            f"cameras; here {recording.cameras.names[view]}"
        )
        panels = [Panel("triangulated", result.points[frame])]
        yield frame_row(
            recording.keypoints[frame, view], recording.skeleton, panels, up=up,
            projected=recording.cameras.project(result.points[frame]).pixels[view],
            caption=f"{name} frame: {error:.1f} px mean reprojection error; {where}",
        )  # fmt: skip


def _comparable(residuals: Float[Tensor, "frames views joints"]) -> Float[Tensor, "frames"]:
    """Return the mean error of each frame; NaN with fewer detections than in the mean.

    With few detections, the error is low because little contradicts.
    """
    counts = residuals.isfinite().flatten(1).sum(dim=1).double()
    means = residuals.flatten(1).nanmean(dim=1)
    return torch.where(counts >= counts.mean(), means, torch.nan)


def _residual_table(name: str, rows: Mapping[str, Residuals]) -> str:
    cells = [
        (label, f"{row.median_px:.1f}", f"{row.p90_px:.1f}",
         f"{row.seen_share:.1%}", f"{row.kept_share:.1%}")
        for label, row in rows.items()
    ]  # fmt: skip
    headings = (name, "median [px]", "90 % [px]", "detected", "used")
    return table(headings, cells, title=f"Reprojection error by {name}")
