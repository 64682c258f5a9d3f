"""Calibrate the cameras of recordings from the people whom they saw, and measure the result."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import isnan, nan

import torch

from multiview_geom import (
    CalibratedRig,
    CameraParameter,
    Cameras,
    calibrate_extrinsics,
    calibrate_focal_lengths,
    refine_calibration,
)
from selfsup_lifting.calibration_settings import CalibrationSettings, Free, Start
from selfsup_lifting.disagreement import image_sizes
from selfsup_lifting.recording import Recording, require_kind
from selfsup_lifting.self_calibration.body import (
    LEFT_FOR_RIGHT,
    USUAL_STATURE,
    find_vertical,
    rightness,
    stature,
)
from selfsup_lifting.self_calibration.measure import (
    CalibrationReport,
    Tracks,
    changes,
    median,
    reprojection,
)
from selfsup_lifting.self_calibration.takes import notes_on_takes
from selfsup_lifting.self_calibration.world import (
    in_room,
    known_scale,
    notes_on_bone,
    require_lengths,
)

PARAMETERS = {
    Free.FOCAL: CameraParameter.FOCAL,
    Free.PRINCIPAL_POINT: CameraParameter.PRINCIPAL_POINT,
    Free.DISTORTION: CameraParameter.DISTORTION,
}
# Detections near the middle of the image determine no other coefficients.
RADIAL = (0, 1)
# Undone in one camera, what is mirrored leaves at most this share of the noise.
TELLING_DROP = 0.75
# One mirrored camera of several leaves right on the right in most frames. It is searched if right
# is not in this share of them, or the noise, relative to the person's size, is not a usual one; and
# named if without it both are as usual, and the noise is at most this share of what it was.
SURELY_RIGHT, USUAL_NOISE, SURE_DROP = 0.95, 0.025, 0.85
# What is undone is tried on so many frames at most: bounds the time.
MOST_TRIED = 40
# Joints of a person who stands move less than this, relative to the person's size in the image.
LEAST_MOTION = 0.02
# Fewer frames show too little motion.
FEWEST_FRAMES = 20


def calibrate_cameras(
    recordings: Sequence[Recording],
    settings: CalibrationSettings,
    start: Start = Start.CALIBRATION,
) -> CalibrationReport:
    """Calibrate the cameras of recordings from the people whom they saw.

    Args:
        recordings: Recordings of the same cameras.
        settings: What may change beside the poses, and what gives the scale.
        start: What to start from.

    Returns:
        The cameras, and their errors on frames that were fitted and on frames that were held out.

    Raises:
        ValueError: If the recordings have other cameras, if the people do not move, or if what the
            cameras saw does not determine them; the message says the likely cause.

    Example:
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> from selfsup_lifting.calibration_settings import CalibrationSettings, Start
        >>> recordings = read_recordings(["synthetic"], ReadSettings(fps=1.0))
        >>> settings = CalibrationSettings(stature=1.7)
        >>> report = calibrate_cameras(recordings, settings, Start.INTRINSICS)
        >>> report.is_metric, report.held_out_after_px < 5.0
        (True, True)
    """
    require_kind("settings", settings, CalibrationSettings)
    if start not in tuple(Start):
        raise ValueError(f"`start` must be one of {', '.join(map(str, Start))}, got {start!r}")
    require_kind("recordings", recordings, list | tuple)
    for one in recordings:
        require_kind("recordings", one, Recording)
    if not recordings:
        raise ValueError("`recordings` must have one recording or more, got none")
    tracks = _joined(recordings)
    require_lengths(settings, tracks.skeleton.joints, tracks.cameras.names)
    _require_motion(tracks)
    held_out = torch.arange(len(tracks.pixels)) % settings.held_out_every == 0
    fitted, others = tracks.frames(~held_out), tracks.frames(held_out)
    rig = _solved_or_explained(fitted, settings, start)
    scale = known_scale(rig, fitted.skeleton, settings, start)
    placed, vertical = _scaled(rig, scale.factor), "the given calibration"
    repairs = start is Start.CALIBRATION
    given = tracks.cameras.scaled(scale.factor) if repairs else None
    if not repairs:
        placed, vertical = in_room(placed, fitted.skeleton, fitted.fps)
    tall = stature(fitted.skeleton, placed.points)
    return CalibrationReport(
        placed.cameras,
        changes(given, placed, fitted, others),
        median(reprojection(given, others)),
        median(reprojection(placed.cameras, others)),
        rig.noise_px,
        scale.source,
        scale.is_metric,
        vertical,
        tall,
        (
            *_notes_on_frames(len(tracks.pixels)),
            *_notes(placed, fitted, settings, start),
            *notes_on_takes(recordings, placed.cameras, rig.noise_px, is_metric=scale.is_metric),
            *_notes_on_scale(tall if scale.is_metric else nan),
            *notes_on_bone(settings, tracks.skeleton),
        ),
    )


def _joined(recordings: Sequence[Recording]) -> Tracks:
    first = recordings[0]
    for other in recordings[1:]:
        differs = other.skeleton.difference(first.skeleton)
        if other.cameras != first.cameras or differs:
            which = f" (a skeleton {differs})" if differs else ""
            raise ValueError(
                "all recordings must have the same cameras and joints, got others in "
                f"{other.name}{which} than in {first.name}: calibrate them one by one (--take)"
            )
    if first.cameras.views < 2:  # noqa: PLR2004 - one camera places no other
        raise ValueError(
            f"{first.name} has one camera: calibration needs two or more that see the same person"
        )
    pixels = torch.cat([recording.keypoints for recording in recordings]).double()
    weights = torch.cat([recording.confidence for recording in recordings]).double()
    return Tracks(first.cameras, first.skeleton, first.fps, pixels, weights)


def _require_motion(tracks: Tracks) -> None:
    """Refuse a person who does not move: a few points do not determine the cameras well."""
    seen = torch.where(tracks.weights[..., None] > 0, tracks.pixels, torch.nan)
    if not seen.isfinite().any():
        raise ValueError(
            "calibration needs people whom the cameras saw, got no detection; likely causes: "
            "nobody is in view, or --min-confidence is above all confidences"
        )
    blind = (~seen.isfinite().all(dim=-1)).all(dim=2).all(dim=0).tolist()
    names = [name for name, never in zip(tracks.cameras.names, blind, strict=True) if never]
    if names:
        raise ValueError(
            f"each camera must have detections, got none of {', '.join(names)}: leave it out, or "
            "check its file of detections"
        )
    if len(seen) < 2:  # noqa: PLR2004 - motion needs two
        raise ValueError("calibration needs many frames, got one: is --fps or --frames too low?")
    apart = seen - seen.nanmean(dim=0)
    motion = apart.square().sum(dim=-1).nanmean(dim=0).sqrt().nanmedian()
    size = _size_px(tracks)
    if not float(motion) > LEAST_MOTION * size:
        raise ValueError(
            f"the person must move through the room to calibrate cameras, got joints that move by "
            f"{float(motion):.1f} px in a body of {size:.0f} px: record a walk of half a "
            "minute"
        )


def _size_px(tracks: Tracks) -> float:
    """Return the size of the person in the image: how far joints are from their mean [px]."""
    seen = torch.where(tracks.weights[..., None] > 0, tracks.pixels, torch.nan)
    apart = seen - seen.nanmean(dim=2, keepdim=True)
    return float(apart.square().sum(dim=-1).nanmean().sqrt())


def _solved_or_explained(
    tracks: Tracks, settings: CalibrationSettings, start: Start
) -> CalibratedRig:
    """Find the cameras; an error says which one is mirrored, if that is the cause."""
    try:
        return _solved(tracks, settings, start)
    except ValueError as error:
        most = USUAL_NOISE * _size_px(tracks)
        cause = _is_fast(start) and _mirrored_camera(most, SURELY_RIGHT, tracks, settings, start)
        if not cause:
            raise
        raise ValueError(f"{error}; {cause}") from error


def _is_fast(start: Start) -> bool:
    """Return whether cameras are found in about a second: focal lengths take ten times that."""
    return start is not Start.IMAGE_SIZE


def _solved(tracks: Tracks, settings: CalibrationSettings, start: Start) -> CalibratedRig:
    """Find the cameras from what is given."""
    cameras, free, coefficients = _free(tracks.cameras, settings)
    pixels, weights = tracks.pixels, tracks.weights
    if start is Start.CALIBRATION:
        return refine_calibration(
            cameras, pixels, weights=weights, free=free, coefficients=coefficients
        )
    if start is Start.IMAGE_SIZE:
        return calibrate_focal_lengths(cameras, pixels, weights=weights)
    rig = calibrate_extrinsics(cameras, pixels, weights=weights, threshold=settings.threshold_px)
    if free == {CameraParameter.EXTRINSICS}:
        return rig
    return refine_calibration(
        rig.cameras, pixels, weights=weights, free=free, coefficients=coefficients
    )


def _free(
    cameras: Cameras, settings: CalibrationSettings
) -> tuple[Cameras, set[CameraParameter], tuple[int, ...] | None]:
    """Return what may change; a lens whose distortion is free gets coefficients."""
    names = [name.strip() for name in settings.free.split(",") if name.strip()]
    known = [kind.value for kind in Free]
    unknown = [name for name in names if name not in {*known, "extrinsics"}]
    if unknown:
        raise ValueError(f"`free` must be some of {', '.join(known)}, got {', '.join(unknown)}")
    kinds = {PARAMETERS[Free(name)] for name in names if name in known}
    if CameraParameter.DISTORTION in kinds and cameras.distortion is None:
        zero = torch.zeros(cameras.views, 5).to(cameras.intrinsics)
        cameras = replace(cameras, distortion=zero)
    coefficients = RADIAL if CameraParameter.DISTORTION in kinds else None
    return cameras, {CameraParameter.EXTRINSICS, *kinds}, coefficients


def _scaled(rig: CalibratedRig, factor: float) -> CalibratedRig:
    covariance = rig.covariance.clone()
    covariance[:, 3:6] *= factor
    covariance[:, :, 3:6] *= factor
    return rig._replace(
        cameras=rig.cameras.scaled(factor), points=factor * rig.points, covariance=covariance
    )


def _notes_on_frames(count: int) -> list[str]:
    """Doubt cameras that are found from a few frames."""
    if count >= FEWEST_FRAMES:
        return []
    return [
        f"only {count} frames were used, and the cameras may be far off: use {FEWEST_FRAMES} or "
        "more, in which people move through the room (--fps, --frames)"
    ]


def _notes_on_scale(tall: float) -> list[str]:
    """Doubt the scale if the person is far smaller or taller than people are [m]."""
    low, high = USUAL_STATURE
    if isnan(tall) or low <= tall <= high:
        return []
    return [
        f"the person would be {tall:.3g} m tall, usually {low:g} to {high:g} m: most likely the "
        "length that gives the scale is not in meters"
    ]


def _notes(
    rig: CalibratedRig, tracks: Tracks, settings: CalibrationSettings, start: Start
) -> list[str]:
    """Say what is suspicious about the result."""
    share = _rightness(rig, tracks)
    if share < LEFT_FOR_RIGHT:
        everywhere = "the detector's left and right are swapped, or the pictures are mirrored"
        most, least = TELLING_DROP * rig.noise_px, 1 - LEFT_FOR_RIGHT
        cause = _mirrored_camera(most, least, tracks, settings, start) or everywhere
        return [f"left and right look exchanged in {1 - share:.0%} of the frames: {cause}"]
    usual = USUAL_NOISE * _size_px(tracks)
    if not _is_fast(start) or not (rig.noise_px > usual or share < SURELY_RIGHT):
        return []
    most = min(usual, SURE_DROP * rig.noise_px)
    cause = _mirrored_camera(most, SURELY_RIGHT, tracks, settings, start)
    return [f"the cameras disagree by a noise of {rig.noise_px:.1f} px: {cause}"] if cause else []


def _rightness(rig: CalibratedRig, tracks: Tracks) -> float:
    """Return the share of the frames in which right is on the right; NaN if that is not known."""
    vertical = find_vertical(tracks.skeleton, rig.points, tracks.fps)
    return nan if vertical is None else rightness(tracks.skeleton, rig.points, vertical.up)


def _mirrored_camera(
    most_px: float, least: float, tracks: Tracks, settings: CalibrationSettings, start: Start
) -> str:
    """Say what is mirrored in one camera, if the cameras agree without it; else nothing.

    They agree up to a noise, and have right on the right in the least share of the frames.
    """
    step = -(-len(tracks.pixels) // MOST_TRIED)
    some = tracks.frames(torch.arange(len(tracks.pixels)) % step == 0)
    found = []
    for cause, trial in _undone(some):
        try:
            rig = _solved(trial, settings, start)
        except ValueError:  # the cameras agree even less
            continue
        if rig.noise_px < most_px and _rightness(rig, trial) > least:
            found.append((rig.noise_px, cause))
    if not found:
        return ""
    noise_px, cause = min(found)
    return f"most likely {cause}, which would leave a noise of {noise_px:.1f} px"


def _undone(tracks: Tracks) -> Iterator[tuple[str, Tracks]]:
    """Yield what may be mirrored in one camera, and the detections without it."""
    sides = tracks.skeleton.mirror_order
    widths = image_sizes(tracks.cameras)[:, 0].tolist()
    for view, (name, width) in enumerate(zip(tracks.cameras.names, widths, strict=True)):
        mirrored = tracks.pixels.clone()
        mirrored[:, view, :, 0] = width - 1 - mirrored[:, view, :, 0]
        yield f"the pictures of camera {name} are mirrored", tracks._replace(pixels=mirrored)
        pixels, weights = tracks.pixels.clone(), tracks.weights.clone()
        pixels[:, view] = pixels[:, view, sides]
        weights[:, view] = weights[:, view, sides]
        trial = tracks._replace(pixels=pixels, weights=weights)
        told = f"the left and right joints of camera {name} are exchanged"
        yield f"{told} (--exchange-sides {name} corrects it)", trial
