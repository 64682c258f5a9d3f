"""The files of `save_recording`."""

from dataclasses import replace
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from multiview_geom import CameraIssueKind, align_rigid, check_cameras, triangulate_robust
from selfsup_lifting.calibration import Rig, load_rig, selected
from selfsup_lifting.config import TriangulationSettings
from selfsup_lifting.parse.folders import files_with
from selfsup_lifting.parse.npz import array_names
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.reader import Reader, ReadResult
from selfsup_lifting.recording import Recording
from selfsup_lifting.recording_file import load_recording

# Frames that tell where the truth is in the world of other cameras.
FRAMES_TO_ALIGN = 1000
# What no camera can be.
BROKEN = {
    CameraIssueKind.NOT_FINITE, CameraIssueKind.NOT_RIGID, CameraIssueKind.NOT_A_ROTATION,
    CameraIssueKind.FOCAL_LENGTH,
}  # fmt: skip


def _recognizes(path: Path) -> bool:
    """Recognize a native file, or a folder that contains one."""
    if path.is_dir():
        return any(map(_is_native, files_with(path, ".npz")))
    return path.suffix.lower() == ".npz" and _is_native(path)


def _read(path: Path, settings: ReadSettings) -> list[ReadResult]:
    files = files_with(path, ".npz") if path.is_dir() else [path]
    results = [_result(file) for file in files]
    if settings.cameras is None:
        return results
    rig = load_rig(settings.cameras, unit=settings.unit)
    return [_filmed_by(result.recording, rig) for result in results]


def _result(file: Path) -> ReadResult:
    """Read a file; a note names each camera that cannot be one."""
    recording = load_recording(file)
    issues = check_cameras(recording.cameras)
    notes = tuple(f"{file}: {issue.message}" for issue in issues if issue.kind in BROKEN)
    return ReadResult(recording, notes=notes)


def _filmed_by(recording: Recording, rig: Rig) -> ReadResult:
    """Give a recording other cameras; its truth, if any, is moved to their world."""
    source = replace(recording.source, calibration=rig.path)
    cameras = selected(rig, recording.cameras.names).cameras
    filmed = replace(recording, cameras=cameras, source=source)
    if recording.truth is None:
        return ReadResult(filmed, notes=rig.notes)
    some = slice(None, None, 1 + filmed.frame_count // FRAMES_TO_ALIGN)
    seen = _triangulated(filmed.frames(some)).flatten(0, 1)
    moved = align_rigid(recording.truth[some].double().flatten(0, 1), seen)
    truth = moved.apply(recording.truth.double())
    apart = 1000 * float((truth[some].flatten(0, 1) - seen).norm(dim=-1).nanmedian())
    note = (
        f"{recording.name}: the truth was moved to the world of {rig.path}, as a rigid body; it is "
        f"{apart:.0f} mm from the triangulated joints (median)"
    )
    return ReadResult(replace(filmed, truth=truth.to(recording.truth)), notes=(*rig.notes, note))


def _triangulated(recording: Recording) -> Float[Tensor, "frames joints 3"]:
    ideal = recording.cameras.undistort(recording.keypoints.double())
    return triangulate_robust(
        recording.cameras.projections, ideal.pixels, threshold=TriangulationSettings.threshold_px
    ).points


READER = Reader("native", _recognizes, _read)


def _is_native(path: Path) -> bool:
    return {"description", "keypoints"} <= array_names(path)
