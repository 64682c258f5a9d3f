"""OpenPose, MMPose, AlphaPose, COCO, DeepLabCut, SLEAP tracks."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, runtime_checkable

import torch

from multiview_geom import Cameras
from selfsup_lifting.calibration import Rig, load_rig
from selfsup_lifting.config import ReadSettings
from selfsup_lifting.files.detectors import (
    alphapose,
    csv_tracks,
    deeplabcut,
    mmpose,
    openpose,
    sleap,
    videopose3d,
)
from selfsup_lifting.files.detectors.view_tracks import Scale, ViewTracks
from selfsup_lifting.files.sessions.assembly import assemble
from selfsup_lifting.files.sessions.camera_matching import match_cameras
from selfsup_lifting.files.sessions.project_config import (
    find_calibration,
    frame_rate,
    project_config,
    project_of,
    with_pose_model,
    without_face,
)
from selfsup_lifting.read_result import ReadResult
from selfsup_lifting.recording import ReadError
from selfsup_lifting.skeleton.skeletons import Skeleton, find_skeleton

# The usual sizes of videos, smallest first: a track without calibration is of the first that
# holds it [px].
VIDEO_SIZES = (
    (640, 480), (1280, 720), (720, 1280), (1920, 1080), (1080, 1920), (2048, 2048), (3840, 2160),
    (2160, 3840),
)  # fmt: skip
# Human3.6M's focal length divided by its image width: assumed if there is no calibration.
USUAL_FOCAL_LENGTH = 1.145


@runtime_checkable
class Layout(Protocol):
    """What the module of every layout offers."""

    def recognises(self, path: Path, /) -> bool:
        """Tell whether a path holds this layout."""

    def read_views(self, path: Path, told: Skeleton | None, /) -> list[ViewTracks]:
        """Read what the cameras of the file saw."""


# In the order in which they are asked: the surest first.
LAYOUTS: Mapping[str, Layout] = MappingProxyType(
    {
        "openpose": openpose,
        "deeplabcut": deeplabcut,
        "sleap": sleap,
        "videopose3d": videopose3d,
        "mmpose": mmpose,
        "alphapose": alphapose,
        "csv": csv_tracks,
    }
)


def find_layout(path: Path) -> Layout | None:
    """Find who wrote a file or a folder of frames; None where nobody known did."""
    return next((layout for layout in LAYOUTS.values() if layout.recognises(path)), None)


def recognises(path: Path) -> bool:
    """Tell one camera's detections, or a file of several cameras."""
    return find_layout(path) is not None


def read(path: Path, settings: ReadSettings) -> list[ReadResult]:
    """Read the detections of one camera, or of all cameras that one file tells of.

    Args:
        path: The file, or the folder of frames.
        settings: Where the calibration is, and who is meant among several people.

    Returns:
        One take of all cameras where the calibration has exactly those; else one take per
        camera, with a made-up camera where there is no calibration. The project's configuration
        tells the frame rate and the skeleton, as for the whole folder.

    Raises:
        ReadError: If the file is damaged, or fits several cameras of the calibration.
    """
    config = project_config(project_of(path.parent.resolve()))
    told = with_pose_model(settings, config)
    takes = _read_takes(path, told, frame_rate(config))
    return [without_face(take, settings, config) for take in takes]


def _read_takes(path: Path, settings: ReadSettings, fps: float | None) -> list[ReadResult]:
    views = read_views(path, settings)
    rig = _rig(path, settings)
    if rig is not None and len(views) > 1:
        ordered = _as_rig(rig.cameras, views)
        if ordered is not None:
            return [assemble(path.stem, rig.cameras, ordered, settings, fps=fps, notes=rig.notes)]
    return [_alone(view, rig, settings, fps) for view in views]


def read_views(path: Path, settings: ReadSettings) -> list[ViewTracks]:
    """Read what the cameras of a file saw, whoever wrote it."""
    layout = find_layout(path)
    if layout is None:
        raise ReadError(f"{path} is in no layout known here; known are {', '.join(LAYOUTS)}")
    told = settings.detected_skeleton
    views = layout.read_views(path, None if told is None else find_skeleton(told))
    if not views or any(view.frame_count == 0 for view in views):
        raise ReadError(f"{path}: there is no frame in it")
    return views


def _rig(path: Path, settings: ReadSettings) -> Rig | None:
    beside = path.parent.resolve()
    calibration = settings.cameras or find_calibration(beside)
    calibration = calibration or find_calibration(project_of(beside))
    return None if calibration is None else load_rig(calibration, unit=settings.unit)


def _as_rig(cameras: Cameras, views: list[ViewTracks]) -> list[ViewTracks] | None:
    names = cameras.names
    matches = match_cameras(names, [view.camera for view in views])
    by_name = {match[0]: view for match, view in zip(matches, views, strict=True) if match}
    if len(by_name) < len(views) or set(by_name) != set(names):
        return None
    return [by_name[name] for name in names]


def _alone(
    view: ViewTracks, rig: Rig | None, settings: ReadSettings, fps: float | None
) -> ReadResult:
    if rig is None:
        size, note = _assumed_size(view)
        cameras = _assumed_camera(view.camera, size)
        return assemble(view.camera, cameras, [view], settings, fps=fps, notes=[note])
    name = _filmed_by(view, rig, settings)
    cameras = rig.cameras.select([name])
    return assemble(view.camera, cameras, [view], settings, fps=fps, notes=rig.notes)


def _filmed_by(view: ViewTracks, rig: Rig, settings: ReadSettings) -> str:
    """Find the camera that filmed a track: the one told, named alike, or the only one."""
    names = rig.cameras.names
    if settings.filmed_by is not None and settings.filmed_by in names:
        return settings.filmed_by
    (match,) = match_cameras(names, [view.camera])
    if match is not None and settings.filmed_by is None:
        return match[0]
    if len(names) == 1 and settings.filmed_by is None:
        return names[0]
    raise ReadError(
        f"{view.source}: which camera of {rig.path} filmed {view.camera}? "
        f"Say it with --filmed-by; known are {', '.join(names)}"
    )


def _assumed_camera(name: str, image_size: tuple[int, int]) -> Cameras:
    """Return a camera without lens distortion and with a usual focal length."""
    width, height = image_size
    focal = USUAL_FOCAL_LENGTH * max(width, height)
    return Cameras(
        intrinsics=torch.tensor(
            [[[focal, 0.0, (width - 1) / 2], [0.0, focal, (height - 1) / 2], [0.0, 0.0, 1.0]]],
            dtype=torch.float64,
        ),
        camera_from_world=torch.eye(4, dtype=torch.float64)[None],
        image_size=torch.tensor([image_size]),
        names=(name,),
    )


def _assumed_size(view: ViewTracks) -> tuple[tuple[int, int], str]:
    """Guess the size of a video: as the file says, else the smallest usual one that fits."""
    if view.scale is not Scale.PIXELS and view.image_size is None:
        raise ReadError(
            f"{view.source}: its coordinates are {view.scale.value}, and nothing tells the size of "
            "the image; name a calibration with --cameras"
        )
    x, y = view.keypoints.nan_to_num(0.0).amax(dim=(0, 1, 2)).tolist()
    largest = (max(3840, int(x) + 1), max(3840, int(y) + 1))
    fitting = [size for size in VIDEO_SIZES if x < size[0] and y < size[1]]
    size = view.image_size or (fitting[0] if fitting else largest)
    return size, (
        f"{view.source}: no calibration; assumed a picture of {size[0]} x {size[1]} px, a usual "
        "focal length and no lens distortion"
    )
