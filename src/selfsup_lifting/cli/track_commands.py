"""The commands that compute 3D tracks: predict and triangulate."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import camera_to_world, check_cameras
from selfsup_lifting.agreement import camera_agreement
from selfsup_lifting.cli.options import (
    PredictOptions,
    ResultOptions,
    TriangulateOptions,
    choose,
)
from selfsup_lifting.cli.output import (
    command_line,
    frames_of,
    messages,
    part_progress,
    print_json,
    require_report,
    results,
)
from selfsup_lifting.cli.reading_progress import read_recordings
from selfsup_lifting.cli.saving import (
    NoTrackError,
    outputs_of,
    require_outputs,
    save_outputs,
)
from selfsup_lifting.cli.stream_command import STANDARD_INPUT, predict_stream
from selfsup_lifting.cli.tables import (
    error_table,
    evaluation_summary,
    expected_error,
    residual_tables,
)
from selfsup_lifting.config import Method, TriangulationSettings
from selfsup_lifting.config_toml import load_config
from selfsup_lifting.evaluation.checked_split import notes_on_comparison, notes_on_recordings
from selfsup_lifting.evaluation.contradicted_joints import notes_on_joints
from selfsup_lifting.evaluation.evaluate import (
    Evaluation,
    evaluate_lifter,
)
from selfsup_lifting.evaluation.inspection_warnings import (
    MOST_FRAMES,
    PLAIN,
    warnings_about_geometry,
    warnings_about_pictures,
    warnings_about_places,
    warnings_about_weights,
)
from selfsup_lifting.export import AXES
from selfsup_lifting.files.reading import USUAL
from selfsup_lifting.inference import lift_covariances, placed_in_camera
from selfsup_lifting.mapped import collect
from selfsup_lifting.point_quality import PointQuality, point_quality
from selfsup_lifting.pose_refinement import lift_parts
from selfsup_lifting.read_errors import listed
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording, distinct
from selfsup_lifting.report.recording_report import Triangulation, save_triangulation_report
from selfsup_lifting.safe_text import spelled_as
from selfsup_lifting.training.checkpoint import load_lifter
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.loop import untrained_lifter
from selfsup_lifting.triangulate import (
    Reconstruction,
    normalized_image,
    reconstruct,
    reprojection_errors,
    require_two_cameras,
    triangulate_recording,
)

Done = TypeVar("Done")

# If a smaller share of the detections is used, their residuals say little about the others.
LEAST_USED_SHARE = 0.5
# The methods that remove outliers.
OUTLIERS = (Method.ROBUST, Method.REFINED)


def predict(options: PredictOptions) -> None:
    """Lift one camera's 2D track to 3D, and compare it with the other views if there are any."""
    if options.keypoints == STANDARD_INPUT:
        predict_stream(options)
        return
    require_outputs(options)
    choose(AXES, options.coordinates, "coordinates")
    lifter = load_lifter(options.run)
    recordings = [
        recording
        if recording.skeleton.joints == lifter.skeleton.joints
        else recording.to_skeleton(lifter.skeleton)
        for recording in _recordings(options.keypoints, options, load_config(options.run).read)
    ]
    named = outputs_of(options, recordings)
    reports, failures = _each(named, partial(_lifted, options, lifter))
    if options.json and reports:
        _print_reports(recordings, reports)
    _require_none(failures, len(named))


def triangulate(options: TriangulateOptions) -> None:
    """Triangulate recordings from all their views, and report the reprojection errors."""
    require_outputs(options)
    require_report(options.report, overwrite=options.overwrite)
    recordings = _recordings(options.path, options)
    for recording in recordings:
        require_two_cameras(recording)
    named = outputs_of(options, recordings)
    done, failures = _each(named, partial(_triangulated, options))
    if options.report is not None and done:
        settings = (options.triangulation, options.read, options.smoothing)
        found = [one for one, _ in done.values()]
        save_triangulation_report(options.report, found, settings, command_line())
        messages.print(f"wrote {options.report}")
    if options.json and done:
        _print_reports(recordings, {index: report for index, (_, report) in done.items()})
    _require_none(failures, len(named))


def _recordings(path: str, options: ResultOptions, usual: ReadSettings = USUAL) -> list[Recording]:
    recordings = read_recordings([path], options.read, usual)
    return [frames_of(recording, options.frames) for recording in recordings]


def _each(
    named: Sequence[tuple[Recording, tuple[Path, ...]]],
    work: Callable[[Recording, Sequence[Path]], Done],
) -> tuple[dict[int, Done], list[str]]:
    """Do the work for each recording, also after one without a track.

    Returns:
        What the work returned, by the index of the recording; and a sentence for each without a
        track.
    """
    done, failures = {}, []
    for index, (recording, paths) in enumerate(named):
        try:
            done[index] = work(recording, paths)
        except NoTrackError as error:
            failures.append(str(error))
    return done, failures


def _require_none(failures: Sequence[str], count: int) -> None:
    """Raise the sentences about recordings without a track."""
    if not failures:
        return
    others = f"{len(failures)} of {count} recordings have no 3D track: " if count > 1 else ""
    raise ValueError(others + "; ".join(failures))


def _lifted(
    options: PredictOptions, lifter: Lifter, recording: Recording, paths: Sequence[Path]
) -> dict[str, Any]:
    """Lift one recording, save and print the result, and return it for scripts."""
    view = _chosen_view(options, recording)
    single, notes = recording.select_views([view]), []
    if recording.cameras.views > 1:
        notes = [*notes_on_recordings([recording]), *notes_on_comparison([recording])]
    if not any(bool(part.keypoints.isfinite().any()) for part in single.parts()):
        notes.append(f"{recording.name}: no frame of camera {view} has a detection to lift")
    for sentence in dict.fromkeys((*warnings_about_pictures(single), *notes)):
        messages.print(f"warning: {sentence}")
    steps = 1 if recording.cameras.views < 2 else 3  # noqa: PLR2004 - lift, evaluate two networks
    with part_progress(recording.part_count, "part", steps) as done:
        track = _track(options, lifter, single, done)
        errors = _errors_against_all_views(lifter, options, recording, done)
    if lifter.settings.uncertainty and options.refine:
        messages.print("refined poses have no covariances: the lifter knows only those of its own")
    for line in save_outputs(
        options, paths, track.points, recording, track.quality, track.covariance
    ):
        messages.print(line)
    blind = int((~track.seen).sum())
    frames = recording.frame_count
    if not options.json:
        lifted = f"lifted {frames} frames of camera {view}; {blind} frames had no detection"
        results.print(f"{recording.name}: {lifted}", soft_wrap=True)
    if errors and not options.json:
        rows = {name: evaluation.total for name, evaluation in errors.items()}
        results.print(error_table("Errors of the lifted poses", rows))
        results.print(evaluation_summary(errors["trained"]))
    plain = {name: evaluation.as_dict() for name, evaluation in errors.items()}
    return {"view": view, "frames": frames, "blind_frames": blind, **plain}


class _Track(NamedTuple):
    """The lifted track of one view.

    Attributes:
        points: The joints [m].
        seen: Which frames had a detection.
        quality: How well the detections support the points.
        covariance: How sure the lifter is of them [m^2]; None if it does not know.
    """

    points: Float[Tensor, "frames joints 3"]
    seen: Bool[Tensor, "frames"]
    quality: PointQuality
    covariance: Float[Tensor, "frames joints 3 3"] | None


def _track(
    options: PredictOptions, lifter: Lifter, single: Recording, done: Callable[[], None]
) -> _Track:
    """Lift one view."""
    known = lifter.settings.uncertainty and not options.refine

    def lifted() -> Iterator[tuple[Tensor, ...]]:
        predicted = lift_parts(lifter, single, refine=options.refine)
        for part, views in zip(single.parts(), predicted, strict=True):
            poses = views[:, 0]
            tracks = _in_coordinates(options.coordinates, poses, part)
            world = _in_coordinates("world", poses, part)
            quality = point_quality(part, reprojection_errors(part, world))
            seen = ~poses.isnan().flatten(1).any(dim=1)
            covariance = (_covariance(options.coordinates, lifter, part),) if known else ()
            yield tracks, seen, *vars(quality).values(), *covariance
            done()

    tracks, seen, error, count, score, *covariance = collect(lifted(), single.frame_count)
    quality = PointQuality(error, count, score)
    return _Track(tracks, seen, quality, covariance[0] if known else None)


def _triangulated(
    options: TriangulateOptions, recording: Recording, paths: Sequence[Path]
) -> tuple[Triangulation, dict[str, Any]]:
    """Triangulate one recording, save and print the result; return it for pages and scripts."""
    reconstruction = _reconstructed(options, recording)
    agreement = camera_agreement(recording)
    warnings = [*warnings_about_places(recording), *warnings_about_geometry(recording, agreement)]
    warnings += notes_on_use(recording.name, reconstruction, options.triangulation)
    disagree = agreement is not None and agreement.is_bad
    warnings += () if disagree else notes_on_joints(recording, reconstruction.residuals)
    if options.triangulation.weighted:
        warnings += warnings_about_weights(recording)
    saved = save_outputs(options, paths, reconstruction.points, recording, reconstruction.quality)
    for line in (*warnings, *saved):
        messages.print(line)
    summary = expected_error(reconstruction, disagree=disagree)
    if agreement is not None:
        summary = f"{agreement.summary} {summary}"
    if not options.json:
        results.print(f"{recording.name}\n", soft_wrap=True)
        for table in residual_tables(reconstruction):
            results.print(table)
        results.print(summary)
    expected = {"expected_error_mm": None} if disagree else {}
    known = None if agreement is None else asdict(agreement)
    report = {**reconstruction.as_dict(), **expected, "agreement": known, "warnings": warnings}
    return Triangulation(recording, reconstruction, summary, warnings), report


def _reconstructed(options: TriangulateOptions, recording: Recording) -> Reconstruction:
    """Triangulate one recording, with the progress of a long one."""
    with part_progress(recording.part_count, "part") as done:
        reconstruction = reconstruct(recording, options.triangulation, done=done)
    if reconstruction.total.sightings > 0:
        return reconstruction
    if any(map(_is_seen_twice, recording.parts())):
        some = recording.frames(slice(None, None, max(1, recording.frame_count // MOST_FRAMES)))
        plain = triangulate_recording(some, PLAIN).points
        if options.triangulation.method in OUTLIERS and bool(plain.isfinite().any()):
            raise NoTrackError(
                f"no two cameras agree on a joint of {recording.name} within `threshold_px` "
                f"{options.triangulation.threshold_px:g}; `inspect` says how well they agree"
            )
        issues = check_cameras(recording.cameras)
        likely = (
            f"cause: {issues[0].message}" if issues
            else "causes: inverted extrinsics, or a calibration of other cameras"
        )  # fmt: skip
        raise NoTrackError(
            f"no joint of {recording.name} has a point in front of the cameras that detected it, "
            f"though two cameras detected some; likely {likely}; `inspect` says more"
        )
    raise NoTrackError(
        f"no joint of {recording.name} is seen by two cameras in any frame; likely causes: a "
        "confidence threshold above all scores, cameras that are not synchronized, or nobody in "
        "view"
    )


def notes_on_use(
    name: str, reconstruction: Reconstruction, settings: TriangulationSettings
) -> list[str]:
    """Say which cameras and joints have no residual, and if few of the detections were used."""
    limit = f"within `threshold_px` {settings.threshold_px:g} " * (settings.method in OUTLIERS)
    notes = []
    for rows in (reconstruction.per_camera, reconstruction.per_joint):
        blind = [row for row, one in rows.items() if one.seen_share == 0]
        alone = [row for row, one in rows.items() if one.sightings == 0 < one.seen_share]
        if blind:
            notes.append(f"{name}: there is no detection of {listed(blind)}")
        if alone:
            notes.append(
                f"{name}: no detection of {listed(alone)} is used, because no other camera has one "
                f"of the same joint that agrees {limit}".rstrip()
            )
    if reconstruction.total.kept_share < LEAST_USED_SHARE:
        notes.append(
            f"{name}: only {reconstruction.total.kept_share:.1%} of the detections are used, so "
            "that residuals and expected error say little: the others are of one camera alone, or "
            f"do not agree {limit}".rstrip()
        )
    return notes


def _is_seen_twice(part: Recording) -> bool:
    """Return whether two cameras detected one joint in one frame."""
    seen = part.keypoints.isfinite().all(dim=-1) & (part.confidence > 0)
    return bool((seen.sum(dim=1) > 1).any())


def _print_reports(
    recordings: Sequence[Recording], reports: Mapping[int, Mapping[str, Any]]
) -> None:
    """Print the report of one recording, or those of several by name."""
    names = distinct([one.name for one in recordings])
    several = {"recordings": {names[index]: report for index, report in reports.items()}}
    print_json(reports[0] if len(recordings) == 1 else several)


def _in_coordinates(
    coordinates: str, poses: Float[Tensor, "frames joints 3"], single: Recording
) -> Float[Tensor, "frames joints 3"]:
    """Transform root-relative poses of one view to another coordinate frame."""
    if coordinates == "root":
        return poses
    image = normalized_image(single.cameras, single.keypoints)[:, 0].float()
    placed = placed_in_camera(poses, image)
    if coordinates == "camera":
        return placed
    return camera_to_world(single.cameras.camera_from_world[0], placed.double())


def _covariance(
    coordinates: str, lifter: Lifter, single: Recording
) -> Float[Tensor, "frames joints 3 3"]:
    """Return how sure the lifter is of the poses of one view, in the axes of the tracks [m^2]."""
    inputs = (single.cameras, single.keypoints, single.confidence)
    covariance = lift_covariances(lifter, *inputs)[:, 0]
    if coordinates != "world":
        return covariance
    rotation = single.cameras.camera_from_world[0, :3, :3].to(covariance)
    return rotation.mT @ covariance @ rotation


def _chosen_view(options: PredictOptions, recording: Recording) -> str:
    names = recording.cameras.names
    return names[0] if options.view is None else spelled_as(options.view, names)


def _errors_against_all_views(
    lifter: Lifter, options: PredictOptions, recording: Recording, done: Callable[[], None]
) -> dict[str, Evaluation]:
    """Evaluate the trained and the untrained network, if there are other views to compare with."""
    if recording.cameras.views < 2:  # noqa: PLR2004 - one view has no other
        return {}
    view = _chosen_view(options, recording)
    untrained = untrained_lifter(lifter.skeleton, load_config(options.run)).cpu().eval()
    return {
        "untrained": evaluate_lifter(untrained, [recording], view=view, done=done),
        "trained": evaluate_lifter(
            lifter, [recording], view=view, refine=options.refine, done=done
        ),
    }
