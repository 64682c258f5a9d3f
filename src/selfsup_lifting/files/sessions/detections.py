"""One file or folder of detections: of one camera, or of all cameras."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from multiview_geom import Cameras
from selfsup_lifting.calibration import Rig
from selfsup_lifting.files.detectors import find_format, read_tracks
from selfsup_lifting.files.sessions.assembly import assemble
from selfsup_lifting.files.sessions.camera_matching import declared_cameras, match_camera
from selfsup_lifting.files.sessions.project import Project, find_rig
from selfsup_lifting.files.tracks.view_tracks import Scale, ViewTracks
from selfsup_lifting.read_errors import Place, ReadError, listed
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.reader import Reader, ReadResult
from selfsup_lifting.safe_text import spelled_as

# Usual image sizes of videos, smallest first: without a calibration, the first into which all
# keypoints fit [px].
VIDEO_SIZES = (
    (640, 480), (1280, 720), (720, 1280), (1920, 1080), (1080, 1920), (2048, 2048), (3840, 2160),
    (2160, 3840),
)  # fmt: skip
# The focal length of Human3.6M divided by its image width, assumed without a calibration.
USUAL_FOCAL_LENGTH = 1.145


def _recognizes(path: Path) -> bool:
    """Recognize the detections of one camera, or one file of several cameras."""
    return find_format(path) is not None


def _read(path: Path, settings: ReadSettings) -> list[ReadResult]:
    """Read one recording of all cameras, if the calibration has exactly these; else one per camera.

    Without a calibration, a camera is assumed. Frame rate and skeleton are the project's.
    """
    folder = path.parent.resolve()
    project = Project.of(folder)
    views = read_tracks(path, settings.detected_skeleton or project.skeleton)
    inside = [path] if path.is_dir() else []
    if settings.filmed_by is not None and len(views) > 1:
        raise Place(path).error(
            "`filmed_by` names the camera of a single 2D track, but the file has those of "
            f"{listed(view.camera for view in views)}: leave it out, or pair them with --map"
        )
    rig = find_rig(settings, *inside, folder, project.folder)
    declared = declared_cameras(settings.map, () if rig is None else rig.cameras.names)
    ordered = None if rig is None else _in_order_of(rig.cameras, views, declared)
    if rig is not None and ordered is None and len(views) > 1:
        _require_known_cameras(views, rig, declared)
    if rig is None or ordered is None:
        parts = [_one_camera(view, rig, settings, project.fps, declared) for view in views]
        results = [result for part in parts for result in part]
    else:
        results = assemble(path.resolve().stem, rig, ordered, settings, fps=project.fps)
    noted = [replace(one, notes=(*project.notes, *one.notes)) for one in results]
    return [project.without_face(result, settings) for result in noted]


READER = Reader("detections", _recognizes, _read)


def _require_known_cameras(views: list[ViewTracks], rig: Rig, declared: Mapping[str, str]) -> None:
    """Refuse a file of several cameras if the calibration has none of the name of one of them."""
    names = rig.cameras.names
    for view in views:
        is_known = len(names) == 1 or view.source.name in declared
        if not is_known and match_camera(names, view.camera, None, declared) is None:
            told = (
                f"no camera of {rig.path} is named like {view.camera}, one of {len(views)} cameras "
                f"in the file; --map camera={view.camera} names the one meant, of {listed(names)}"
            )
            notes = (note.removeprefix(f"{view.source}: ") for note in view.notes)
            raise Place(view.source).error("; ".join([told, *notes]))


def _in_order_of(
    cameras: Cameras, views: list[ViewTracks], declared: Mapping[str, str]
) -> list[ViewTracks] | None:
    """Return the views of all cameras in order; None if there is one only, or another camera."""
    pairs = [(match_camera(cameras.names, view.camera, None, declared), view) for view in views]
    by_name = {match[0]: view for match, view in pairs if match is not None}
    if len(views) == 1 or len(by_name) < len(views) or set(by_name) != set(cameras.names):
        return None
    return [by_name[name] for name in cameras.names]


def _one_camera(
    view: ViewTracks,
    rig: Rig | None,
    settings: ReadSettings,
    fps: float | None,
    declared: Mapping[str, str],
) -> list[ReadResult]:
    if rig is None:
        size, note = _assumed_size(view)
        assumed = Rig(_assumed_camera(view.camera, size), None, (note,))
        return assemble(view.camera, assumed, [view], settings, fps=fps)
    camera = rig.cameras.select([_camera_of(view, rig, settings, declared)])
    return assemble(view.camera, rig._replace(cameras=camera), [view], settings, fps=fps)


def _camera_of(
    view: ViewTracks, rig: Rig, settings: ReadSettings, declared: Mapping[str, str]
) -> str:
    """Return the camera of a track: the declared one, the one of the same name, or the only one."""
    names = rig.cameras.names
    if settings.filmed_by is not None:
        chosen = spelled_as(settings.filmed_by, names)
        if chosen not in names:
            raise ReadError(f"`filmed_by` must be one of {', '.join(names)}, got {chosen!r}")
        return chosen
    name = view.source.name if view.source.name in declared else view.camera
    match = match_camera(names, name, None, declared)
    if match is not None and settings.filmed_by is None:
        return match[0]
    if len(names) == 1 and settings.filmed_by is None:
        return names[0]
    raise Place(view.source).error(
        f"no camera of {rig.path} is named like {view.camera}; name the camera with --filmed-by, "
        f"one of {', '.join(names)}"
    )


def _assumed_camera(name: str, image_size: tuple[int, int]) -> Cameras:
    (cx, cy), focal = ((size - 1) / 2 for size in image_size), USUAL_FOCAL_LENGTH * max(image_size)
    K = torch.tensor([[focal, 0.0, cx], [0.0, focal, cy], [0.0, 0.0, 1.0]], dtype=torch.float64)
    pose, size = torch.eye(4, dtype=torch.float64)[None], torch.tensor([image_size])
    return Cameras(K[None], pose, image_size=size, names=(name,))


def _assumed_size(view: ViewTracks) -> tuple[tuple[int, int], str]:
    """Return the image size in the file, or else the smallest usual one that fits; and a note."""
    if view.scale is not Scale.PIXELS and view.image_size is None:
        raise Place(view.source).error(
            f"its coordinates are {view.scale.value}, fractions of an image size that is unknown; "
            "name a calibration with --cameras"
        )
    x, y = view.keypoints.nan_to_num(0.0).amax(dim=(0, 1, 2)).tolist()
    largest = (max(3840, int(x) + 1), max(3840, int(y) + 1))
    fitting = [size for size in VIDEO_SIZES if x < size[0] and y < size[1]]
    size = view.image_size or (fitting[0] if fitting else largest)
    return size, (
        f"{view.source}: no calibration; assumed an image of {size[0]} x {size[1]} px, a usual "
        "focal length and no lens distortion"
    )
