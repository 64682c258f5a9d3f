"""The report of a training: its data, its course, its pseudo-labels and its errors."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import transform_points
from selfsup_lifting.atomic_write import REPORT_FILE
from selfsup_lifting.config import Config
from selfsup_lifting.config_toml import load_config
from selfsup_lifting.evaluation.evaluate import (
    Errors,
    Evaluation,
    PoseErrors,
    coverage_sentence,
    nan_to_none,
    summarize,
)
from selfsup_lifting.evaluation.metrics import joint_errors
from selfsup_lifting.inference import lift_known
from selfsup_lifting.plots import (
    draw_gradient_shares,
    draw_held_out_error,
    draw_joint_errors,
    draw_losses,
    draw_pck_curve,
)
from selfsup_lifting.recording import Recording
from selfsup_lifting.report.drawing import drawn
from selfsup_lifting.report.page import Section, figures, paragraph, save_report, table
from selfsup_lifting.report.recording_parts import (
    Panel,
    frame_row,
    residual_figures,
    rig_of,
    worst_and_best,
)
from selfsup_lifting.report.reproduction import reproduction_section, settings_section
from selfsup_lifting.run_files import CONFIG_FILE, METRICS_FILE
from selfsup_lifting.skeleton.skeletons import root_position
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.losses import rotation_part
from selfsup_lifting.training.run_log import metrics_of
from selfsup_lifting.triangulate import reprojection_errors, triangulate_recording

# One line of metrics.jsonl.
Row = Mapping[str, Any]

# Recordings listed by name, and frames whose labels are examined.
MOST_LISTED, MOST_FRAMES = 20, 500
MEASURES = {
    "P-MPJPE [mm]": "p_mpjpe_mm", "MPJPE [mm]": "mpjpe_mm", "N-MPJPE [mm]": "n_mpjpe_mm",
    "PCK": "pck", "AUC": "auc",
}  # fmt: skip
REFERENCES = {
    "truth": "the ground truth",
    "triangulation": "the triangulation of all views, without a ground truth of all recordings",
}


def save_run_report(
    run: Path,
    lifter: Lifter,
    training: Sequence[Recording],
    before: Evaluation,
    after: Sequence[PoseErrors],
) -> Path:
    """Write the report of a run into its folder.

    Args:
        run: The run folder, with its settings and metrics.
        lifter: The trained network.
        training: The recordings it was trained on.
        before: The errors of the untrained network on the held-out recordings.
        after: The errors of the trained network on the same recordings.

    Returns:
        The file.
    """
    config, rows, trained = load_config(run), metrics_of(run), summarize(after)
    lead = [paragraph(_result(before, trained), "lead")]
    commands = [f"selfsup-lifting train --config {run / CONFIG_FILE} --run {run}-again"]
    commands.append(f"selfsup-lifting evaluate {run}")
    sections = [
        Section("Data", tuple(_data(training, [one.recording for one in after]))),
        Section("Course of the training", tuple(_course(rows))),
        Section("Pseudo-labels", tuple(_labels(training, config))),
        Section("Errors on the held-out recordings", tuple(_errors(before, trained, after))),
        Section("Held-out poses", tuple(_poses(lifter, after, config))),
        settings_section(f"All settings are in {run / CONFIG_FILE}.", config),
        reproduction_section(commands),
    ]
    data = {"before": before.as_dict(), "after": trained.as_dict(), "metrics": rows}
    save_report(run / REPORT_FILE, f"Training run {run.name}", lead, sections, nan_to_none(data))
    return run / REPORT_FILE


def _result(before: Evaluation, after: Evaluation) -> str:
    errors = f"{before.total.p_mpjpe_mm:.1f} mm untrained, {after.total.p_mpjpe_mm:.1f} mm trained"
    return (
        f"P-MPJPE from one camera: {errors}; {after.total.poses} held-out poses, against "
        f"{REFERENCES[after.reference]}."
    )


def _data(training: Sequence[Recording], held_out: Sequence[Recording]) -> Iterator[str]:
    rows = [
        (one.name, use, f"{one.frame_count}", f"{one.fps:g}", f"{one.cameras.views}", _missing(one))
        for use, part in (("training", training), ("held out", held_out))
        for one in part
    ]
    headings = ("recording", "use", "frames", "per second", "cameras", "missing")
    yield table(headings, rows[:MOST_LISTED])
    if len(rows) > MOST_LISTED:
        yield paragraph(f"and {len(rows) - MOST_LISTED} more recordings", "note")
    first = _some_frames(training[:1])[0]
    skeleton = f"Skeleton {first.skeleton.name}: {len(first.skeleton.joints)} joints."
    yield paragraph(f"{skeleton} The rig is that of {first.name}.", "note")
    yield rig_of(first, triangulate_recording(first).points)


def _course(rows: Sequence[Row]) -> Iterator[str]:
    parts: list[str] = []
    with drawn(4.6, 3.0, "Every loss, mean of each epoch, before weighting", parts) as one:
        draw_losses(one.add_subplot(), rows)
    with drawn(4.6, 3.0, "Share of each weighted loss in the gradient", parts) as one:
        draw_gradient_shares(one.add_subplot(), rows)
    if any("held_out_reprojection" in row for row in rows):
        caption = "Reprojection error of held-out poses in the other cameras, without ground truth"
        with drawn(4.6, 3.0, caption, parts) as one:
            draw_held_out_error(one.add_subplot(), rows)
    yield figures(*parts)
    yield paragraph(f"The numbers are in {METRICS_FILE}.", "note")


def _labels(training: Sequence[Recording], config: Config) -> Iterator[str]:
    """Show how well the triangulated training data agree with the detections."""
    names = training[0].cameras.names
    parts = _some_frames([one for one in training if one.cameras.names == names])
    points = [triangulate_recording(one, config.triangulation) for one in parts]
    used = [one.kept for one in points]
    found = zip(parts, points, strict=True)
    residuals = torch.cat([reprojection_errors(one, label.points) for one, label in found])
    residuals = torch.where(torch.cat(used), residuals, torch.nan)
    share = float(torch.cat(used).double().mean())
    yield paragraph(
        f"The first loss compares with joints that are triangulated from all cameras "
        f"({config.triangulation.method.value}). Median reprojection error "
        f"{float(residuals.nanmedian()):.1f} px; {share:.1%} of the possible detections were used."
    )
    yield from _label_errors(parts, [one.points for one in points])
    yield residual_figures(parts[0], residuals[: parts[0].frame_count])


def _label_errors(
    parts: Sequence[Recording], points: Sequence[Float[Tensor, "frames joints 3"]]
) -> Iterator[str]:
    pairs = zip(points, parts, strict=True)
    errors = [joint_errors(one, it.truth.double()) for one, it in pairs if it.truth is not None]
    if errors:
        median = float(torch.cat(errors).nanmedian())
        yield paragraph(
            f"Against the ground truth, which the training does not use, the median error of a "
            f"label is {median:.1f} mm."
        )


def _errors(before: Evaluation, after: Evaluation, errors: Sequence[PoseErrors]) -> Iterator[str]:
    rows = {"untrained": before.total, "trained": after.total}
    yield table(("", *MEASURES, "poses"), [_cells(name, row) for name, row in rows.items()])
    low, high = after.pck_threshold_mm
    threshold = f"{low:.0f} mm" if low == high else f"{low:.0f} to {high:.0f} mm"
    notes = [f"Compared with {REFERENCES[after.reference]}; threshold of PCK and AUC {threshold}"]
    notes += filter(None, [coverage_sentence(after)])
    yield paragraph(f"{'; '.join(notes)}.", "note")
    parts: list[str] = []
    joints = torch.cat([one.joints.flatten(0, 1) for one in errors])
    aligned = torch.cat([one.aligned_joints.flatten(0, 1) for one in errors])
    with drawn(4.6, 3.0, "Share of the joints with an error below a threshold", parts) as one:
        curves = {"root-relative": joints, "aligned (Procrustes)": aligned}
        draw_pck_curve(one.add_subplot(), curves, largest_mm=high)
    with drawn(4.6, 0.8 + 0.18 * joints.shape[-1], "Mean root-relative error", parts) as one:
        draw_joint_errors(one.add_subplot(), joints, after.joint_names)
    yield figures(*parts)
    for title, groups in (("By action", after.per_action), ("By camera", after.per_camera)):
        if len(groups) > 1:
            cells = [_cells(name, row) for name, row in groups.items()]
            yield table(("", *MEASURES, "poses"), cells, title=title)


class _Pose(NamedTuple):
    """One held-out pose: the errors of its recording, and where it is in it."""

    errors: PoseErrors
    frame: int
    view: int


def _poses(lifter: Lifter, errors: Sequence[PoseErrors], config: Config) -> Iterator[str]:
    """Draw the held-out poses with the lowest, the median and the highest error."""
    every = [_Pose(one, frame, view) for one in errors for frame, view in torch.cartesian_prod(
        torch.arange(one.joints.shape[0]), torch.arange(one.joints.shape[1])).tolist()]  # fmt: skip
    means = torch.cat([one.aligned_joints.nanmean(dim=-1).flatten() for one in errors])
    yield paragraph(
        "Left: the detected 2D pose that the network sees. In 3D, green is the reference "
        f"({REFERENCES[errors[0].reference]}); turned by 35 degrees from the view of the camera."
    )
    for name, place in worst_and_best(means).items():
        pose = every[place]
        recording, view = pose.errors.recording, pose.errors.recording.cameras.names[pose.view]
        caption = (
            f"{name} P-MPJPE, {means[place]:.0f} mm: {recording.name}, {view}, frame {pose.frame}"
        )
        yield _pose_row(lifter, pose, config, caption)


def _pose_row(lifter: Lifter, pose: _Pose, config: Config, caption: str) -> str:
    frame = pose.errors.recording.frames(slice(pose.frame, pose.frame + 1))
    predicted = lift_known(lifter, frame.cameras, frame.keypoints, frame.confidence)[0, pose.view]
    panels = [Panel("predicted", predicted)]
    triangulated = triangulate_recording(frame, config.triangulation).points[0]
    truth = frame.truth[0] if pose.errors.reference == "truth" and frame.truth is not None else None
    reference = _in_camera(triangulated if truth is None else truth, frame, pose.view)
    if frame.cameras.views > 1:
        panels.insert(0, Panel("triangulated", _in_camera(triangulated, frame, pose.view)))
    panels = [panel._replace(reference=reference) for panel in panels]
    return frame_row(
        frame.keypoints[0, pose.view], frame.skeleton, panels, up="-y", caption=caption
    )


def _in_camera(
    points: Float[Tensor, "joints 3"], recording: Recording, view: int
) -> Float[Tensor, "joints 3"]:
    """Return joints relative to the root, in the axes of a camera."""
    centered = points.double() - root_position(points.double(), recording.skeleton.root)
    rotation = rotation_part(recording.cameras.camera_from_world[view].double())
    return transform_points(rotation, centered).float()


def _cells(name: str, errors: Errors) -> tuple[str, ...]:
    values = (getattr(errors, measure) for measure in MEASURES.values())
    shown = (
        f"{value:.1%}" if heading in {"PCK", "AUC"} else f"{value:.1f}"
        for heading, value in zip(MEASURES, values, strict=True)
    )
    return (name, *shown, f"{errors.poses}")


def _missing(recording: Recording) -> str:
    return f"{1 - float(recording.keypoints.isfinite().all(dim=-1).double().mean()):.1%}"


def _some_frames(recordings: Sequence[Recording]) -> list[Recording]:
    """Return a limited number of frames, spread over all recordings."""
    total = sum(one.frame_count for one in recordings)
    step = max(1, total // MOST_FRAMES)
    return [one.frames(slice(None, None, step)) for one in recordings]
