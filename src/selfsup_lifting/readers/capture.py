"""A folder of detections and a calibration file (Pose2Sim, anipose)."""

import logging
import re
import tomllib
from pathlib import Path
from typing import Any

import torch

from multiview_geom import Cameras
from selfsup_lifting.config import ReadSettings
from selfsup_lifting.readers.openpose import frame_number, is_openpose_folder, read_openpose_folder
from selfsup_lifting.readers.people import largest_person
from selfsup_lifting.readers.rigs import load_rig
from selfsup_lifting.readers.tracks import ViewTracks
from selfsup_lifting.recordings import ReadError, Recording
from selfsup_lifting.skeletons import SKELETONS, Skeleton, find_skeleton

# Where Pose2Sim keeps detections, the most refined first.
DETECTIONS = ("pose-associated", "pose-sync", "pose")
_SUFFIXES = re.compile(r"[^a-z0-9]*(json|pose|keypoints)$")

_log = logging.getLogger(__name__)


def recognises(path: Path) -> bool:
    """Tell a project with detections, or the folder of detections itself."""
    return path.is_dir() and bool(_camera_folders(_detections(path)))


def read(path: Path, settings: ReadSettings) -> list[Recording]:
    """Read one capture: everybody's detections, the calibration, and the two together."""
    detections = _detections(path)
    folders = _camera_folders(detections)
    if not folders:
        raise ReadError(f"{path}: no folder there holds detections, one JSON file per frame")
    project = _project(detections)
    config = _config(project)
    calibration = settings.cameras or _calibration(project)
    cameras = load_rig(calibration)
    _require_same_frames(folders)
    skeleton = _skeleton(config, settings)
    views = [read_openpose_folder(folder, skeleton) for folder in folders]
    views = _in_order_of(cameras, calibration, views)
    _require_agreement(views)
    take = _recording(project, cameras, views, _frame_rate(project, config, settings))
    return [_without_face(take) if _says_pose_model(config, settings) else take]


def _recording(project: Path, cameras: Cameras, views: list[ViewTracks], fps: float) -> Recording:
    chosen = [largest_person(view) for view in views]
    name = project.resolve().name
    return Recording(
        name=name,
        subject=name,
        action="capture",
        fps=fps,
        skeleton=views[0].skeleton,
        cameras=cameras,
        keypoints=torch.stack([keypoints for keypoints, _ in chosen], dim=1),
        confidence=torch.stack([confidence for _, confidence in chosen], dim=1),
    )


def _without_face(take: Recording) -> Recording:
    """Leave out eyes and ears, as Pose2Sim does when it triangulates BODY_25B."""
    if take.skeleton != SKELETONS["body25b"]:
        return take
    return take.to_skeleton(SKELETONS["pose2sim21"])


def _detections(path: Path) -> Path:
    """Find the folder that holds the cameras' folders."""
    inside = [path / name for name in DETECTIONS if _camera_folders(path / name)]
    return inside[0] if inside else path


def _camera_folders(path: Path) -> list[Path]:
    if not path.is_dir():
        return []
    return [folder for folder in sorted(path.iterdir()) if is_openpose_folder(folder)]


def _project(detections: Path) -> Path:
    """Find the folder that holds detections, calibration and `Config.toml`."""
    return detections.resolve().parent if detections.name in DETECTIONS else detections


def _calibration(project: Path) -> Path:
    found = sorted({*project.glob("calibration/*.toml"), *project.glob("[Cc]alib*.toml")})
    if not found:
        raise ReadError(
            f"{project}: no calibration lies there (calibration/*.toml or calib*.toml); "
            "name one with `cameras`"
        )
    if len(found) > 1:
        names = ", ".join(str(file.relative_to(project)) for file in found)
        raise ReadError(
            f"{project}: several calibrations lie there: {names}; choose with `cameras`"
        )
    return found[0]


def _in_order_of(cameras: Cameras, calibration: Path, views: list[ViewTracks]) -> list[ViewTracks]:
    """Sort the views as the calibration does, by names without punctuation and leading zeros."""
    by_name = {_plain(view.camera): view for view in views}
    names = [_plain(name) for name in cameras.names or ()]
    lacking = [name for name in cameras.names or () if _plain(name) not in by_name]
    unknown = [view.camera for view in views if _plain(view.camera) not in names]
    if lacking or unknown or len(by_name) < len(views):
        raise ReadError(
            f"{calibration} and {views[0].source.parent} do not name the same cameras: "
            f"without detections: {', '.join(lacking) or 'none'}; "
            f"without calibration: {', '.join(unknown) or 'none'}"
        )
    return [by_name[name] for name in names]


def _plain(name: str) -> str:
    """Write `cam01_json`, `cam_01` and `Cam-1` alike."""
    words = re.findall(r"[a-z]+|\d+", _SUFFIXES.sub("", name.lower()))
    return " ".join(word.lstrip("0") or "0" if word.isdigit() else word for word in words)


def _require_same_frames(folders: list[Path]) -> None:
    """Refuse folders with more files than others: which frames belong together is unknown."""
    numbers = {folder: [frame_number(file) for file in folder.glob("*.json")] for folder in folders}
    fewest, most = (extreme(folders, key=lambda at: len(numbers[at])) for extreme in (min, max))
    if len(numbers[fewest]) < len(numbers[most]):
        lost = sorted(set(numbers[most]) - set(numbers[fewest]))
        raise ReadError(
            f"camera {fewest.name} has {len(numbers[fewest])} frames, camera {most.name} "
            f"{len(numbers[most])}; frame {lost[0] if lost else '?'} is the first that "
            f"{fewest.name} lacks: cut the videos to the same frames"
        )


def _require_agreement(views: list[ViewTracks]) -> None:
    """Refuse views that differ in what a person's joints are or in how long they last."""
    first = views[0]
    for view in views[1:]:
        if view.skeleton != first.skeleton:
            raise ReadError(
                f"camera {view.camera} has the skeleton {view.skeleton.name!r}, "
                f"camera {first.camera} {first.skeleton.name!r}; detect all with one model"
            )
        if view.frame_count != first.frame_count:
            raise ReadError(
                f"camera {view.camera} counts {view.frame_count} frames from its first to its "
                f"last file, camera {first.camera} {first.frame_count}; the frame numbers have gaps"
            )


def _config(project: Path) -> dict[str, Any]:
    path = project / "Config.toml"
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ReadError(f"{path}: {error}") from error


def _skeleton(config: dict[str, Any], settings: ReadSettings) -> Skeleton | None:
    """Return what the joints are where somebody says it: the settings, else `Config.toml`."""
    if settings.detected_skeleton is not None:
        return find_skeleton(settings.detected_skeleton)
    model = str(config.get("pose", {}).get("pose_model", ""))
    return SKELETONS.get(re.sub(r"[^a-z0-9]", "", model.lower()))


def _says_pose_model(config: dict[str, Any], settings: ReadSettings) -> bool:
    """Tell whether it was Pose2Sim, and not the user, that named the skeleton."""
    return settings.detected_skeleton is None and "pose_model" in config.get("pose", {})


def _frame_rate(project: Path, config: dict[str, Any], settings: ReadSettings) -> float:
    rate = config.get("project", {}).get("frame_rate")
    if isinstance(rate, int | float) and rate > 0:
        return float(rate)
    _log.warning(
        "%s: nothing says how many frames a second has; taken as %g", project, settings.source_fps
    )
    return settings.source_fps
