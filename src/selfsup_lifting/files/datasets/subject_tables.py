"""VideoPose3D's npz files of datasets: arrays by subject, action and camera."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.files.tracks.view_tracks import LARGEST_CONFIDENCE
from selfsup_lifting.parse.npz import array_names, is_poses, left_joints, load_npz
from selfsup_lifting.read_errors import Place, listed
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recording import Recording, Source
from selfsup_lifting.skeleton.skeleton_file import find_skeleton
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton

# Skeletons by the number of joints and the indices of the left ones: 16 joints can be several
# skeletons, and only VideoPose3D's own files name theirs.
BY_SYMMETRY: Mapping[tuple[int, tuple[int, ...]], Skeleton] = {
    (17, (4, 5, 6, 11, 12, 13)): SKELETONS["h36m17"],
    (17, (1, 3, 5, 7, 9, 11, 13, 15)): SKELETONS["coco17"],
    (16, (3, 4, 5, 13, 14, 15)): SKELETONS["mpii16"],
    (16, (4, 5, 6, 10, 11, 12)): SKELETONS["h36m17"].without("nose"),
    (16, (3, 4, 5, 10, 11, 12)): SKELETONS["h36m17"].without("pelvis"),
    (15, (2, 3, 4, 8, 9, 10)): SKELETONS["humaneva15"],
}


# The videos of a sequence often differ by a few frames: what a camera has of the longest, at least.
USUAL_SHARE = 0.95


@dataclass(frozen=True)
class Table2D:
    """The content of a 2D file.

    Attributes:
        path: The file.
        skeleton: The joints.
        poses: For each subject and action, one array or None per camera.
        notes: What a user should know about the numbers.
    """

    path: Path
    skeleton: Skeleton
    poses: Mapping[str, Mapping[str, Sequence[NDArray[Any] | None]]]
    notes: tuple[str, ...] = ()

    def frame_count(self, subject: str, action: str) -> int:
        """Return the number of frames that every camera has."""
        cameras = self.poses[subject][action]
        return min((len(one) for one in cameras if one is not None), default=0)

    def recording(
        self,
        subject: str,
        action: str,
        cameras: Cameras,
        frames: slice,
        *,
        fps: float,
        source: Source,
    ) -> Recording:
        """Build the recording of one subject and action.

        Args:
            subject: The subject.
            action: The action, which is also the recording's.
            cameras: The cameras.
            frames: The frames to use; a step divides the frames per second.
            fps: Frames per second of the file [1/s].
            source: The source of the recording.

        Returns:
            The recording; the keypoints of a camera without an array are missing.

        Raises:
            ReadError: If the arrays do not fit the skeleton, the cameras or each other.
        """
        name, poses = f"{subject} {action}", self.poses[subject][action]
        _require_fitting(Place(self.path, name), poses, cameras.views, len(self.skeleton.joints))
        count = self.frame_count(subject, action)
        keypoints, confidence = _stacked(poses, range(count)[frames], len(self.skeleton.joints))
        rate = fps / (frames.step or 1)
        return Recording(
            name, subject, action, rate, self.skeleton, cameras, keypoints, confidence,
            source=source,
        )  # fmt: skip


def is_2d_table(path: Path, prefix: str) -> bool:
    """Return whether a path is a 2D file of a dataset, or a folder that contains one."""
    if path.is_dir():
        return bool(_tables_in(path, prefix))
    return path.name.startswith(prefix) and "positions_2d" in array_names(path)


def find_2d_table(path: Path, prefix: str, preferred: str) -> Path:
    """Choose the 2D file of a folder: the only one, or the one of the preferred detector.

    Raises:
        ReadError: If there is no file, or several and none of the preferred detector.
    """
    if path.is_file():
        return path
    found = _tables_in(path, prefix)
    chosen = [file for file in found if preferred in file.name] or found
    if len(chosen) == 1:
        return chosen[0]
    names = ", ".join(file.name for file in found) or "none"
    raise Place(path).error(f"expected one 2D file, got {names}; name the file, not the folder")


def read_2d_table(path: Path, declared: str | None) -> Table2D:
    """Read the 2D poses of a dataset; the skeleton is found from the metadata if none is declared.

    Raises:
        ReadError: If the file has another layout, or its skeleton is unknown.
    """
    content = load_npz(path, "positions_2d", "metadata")
    poses = _by_subject(Place(path, "positions_2d"), content.get("positions_2d"))
    for subject, actions in poses.items():
        for action, cameras in actions.items():
            if not isinstance(cameras, list | tuple):
                raise Place(path, f"{subject} {action}").expected("a list of cameras", cameras)
    joints = _joint_count(path, poses)
    notes = (*_notes_on_scores(path, poses), *_notes_on_lengths(path, poses))
    if declared is None:
        return Table2D(path, _skeleton(path, content.get("metadata"), joints), poses, notes)
    skeleton = find_skeleton(declared)
    if len(skeleton.joints) != joints:
        raise Place(path).error(
            f"expected {len(skeleton.joints)} joints of the skeleton {skeleton.name}, got {joints}"
        )
    return Table2D(path, skeleton, poses, notes)


def read_3d_table(path: Path) -> Mapping[str, Mapping[str, NDArray[Any]]]:
    """Read 3D poses by subject and action [m]; empty if there is no such file.

    Raises:
        ReadError: If the file has another layout.
    """
    if not path.is_file():
        return {}
    poses = _by_subject(
        Place(path, "positions_3d"), load_npz(path, "positions_3d").get("positions_3d")
    )
    for subject, actions in poses.items():
        for action, positions in actions.items():
            if not is_poses(positions, {3}):
                place = Place(path, f"{subject} {action}")
                raise place.expected("frames x joints x 3 numbers", positions)
    return poses


def wanted_frames(
    settings: ReadSettings, fps: float, count: int, captured: NDArray[Any] | None
) -> slice:
    """Return the frames with a truth, at the frame rate and phase in the settings."""
    step = 1 if settings.fps is None else max(1, round(fps / settings.fps))
    return slice(settings.fps_phase % step, count if captured is None else len(captured), step)


def with_truth(
    recording: Recording, truth: Float[Tensor, "frames joints 3"], skeleton: str
) -> Recording:
    """Add the truth to a recording, in one skeleton with the detections [m].

    The result has the truth's skeleton, or the detector's if that has only some of its joints.
    """
    body = SKELETONS[skeleton]
    detected = recording.skeleton.joints
    if set(detected) <= set(body.joints):
        order = [body.joints.index(joint) for joint in detected]
        return replace(recording, truth=truth[:, order])
    return replace(recording.to_skeleton(body), truth=truth)


def _tables_in(folder: Path, prefix: str) -> list[Path]:
    files = sorted(folder.glob(f"{prefix}*.npz"))
    return [file for file in files if is_2d_table(file, prefix)]


def _by_subject(place: Place, value: Any) -> Mapping[str, Mapping[str, Any]]:  # noqa: ANN401 - any content of the pickle
    filled = isinstance(value, dict) and value
    if not filled or not all(isinstance(actions, dict) for actions in value.values()):
        raise place.error("expected a dict of subjects, each a dict of actions")
    return value  # type: ignore[no-any-return]


def _joint_count(path: Path, poses: Mapping[str, Mapping[str, Any]]) -> int:
    arrays = (one for actions in poses.values() for cameras in actions.values() for one in cameras)
    first = next((one for one in arrays if one is not None), None)
    if not isinstance(first, np.ndarray) or first.ndim != 3:  # noqa: PLR2004 - axes
        place = Place(path, "positions_2d")
        raise place.expected("poses of frames x joints x 2 numbers", first)
    return int(first.shape[1])


def _notes_on_scores(path: Path, poses: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Say if the third numbers of the joints, which are taken for scores, do not look like any."""
    arrays = (one for actions in poses.values() for cameras in actions.values() for one in cameras)
    scores = [
        one[..., 2] for one in arrays if is_poses(one, {3}) and np.isfinite(one[..., 2]).any()
    ]
    if not scores:
        return
    low, high = min(map(np.nanmin, scores)), max(map(np.nanmax, scores))
    taken = f"{path}: the third numbers of its joints, taken for scores, are"
    if low < 0 or high > LARGEST_CONFIDENCE:
        yield (
            f"{taken} from {low:.3g} to {high:.3g}: those above 1 count as 1, and joints whose "
            "score is not above 0 as missing; if they are no scores, write x and y alone"
        )
    elif high == 0:
        yield f"{taken} all 0: every joint is missing; if they are no scores, write x and y alone"


def _notes_on_lengths(path: Path, poses: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Say where a camera lacks many of the frames that others have: all are cut to the shortest."""
    cut = []
    for subject, actions in poses.items():
        for action, cameras in actions.items():
            counts = [len(one) for one in cameras if isinstance(one, np.ndarray) and one.ndim]
            if counts and min(counts) < USUAL_SHARE * max(counts):
                cut.append(f"{subject} {action} ({min(counts)} of {max(counts)})")
    if cut:
        yield (
            f"{path}: a camera has fewer frames than others, and only these are read: {listed(cut)}"
        )


def _skeleton(path: Path, metadata: Any, joints: int) -> Skeleton:  # noqa: ANN401 - any content of the pickle
    """Find the skeleton from the left joints and the number of joints."""
    left = tuple(sorted(left_joints(metadata) or ()))
    if (joints, left) in BY_SYMMETRY:
        return BY_SYMMETRY[joints, left]
    raise Place(path).error(
        f"the skeleton of its {joints} joints is unknown; name it with --detected-skeleton, one "
        f"of {', '.join(SKELETONS)} or a .toml file"
    )


def _require_fitting(
    place: Place, cameras: Sequence[NDArray[Any] | None], views: int, joints: int
) -> None:
    if len(cameras) != views:
        raise place.error(f"has {len(cameras)} cameras, the calibration {views}")
    present = [poses for poses in cameras if poses is not None]
    if not present:
        raise place.error("expected the poses of at least one camera, got none")
    for poses in present:
        if not is_poses(poses, {2, 3}):
            raise place.expected("frames x joints x 2 numbers per camera", poses)
        if poses.shape[1] != joints:
            raise place.error(f"expected {joints} joints per pose, got {poses.shape[1]}")


def _stacked(
    cameras: Sequence[NDArray[Any] | None], frames: range, joints: int
) -> tuple[Float[Tensor, "frames views joints 2"], Float[Tensor, "frames views joints"]]:
    """Stack the cameras; the confidence of finite keypoints without a score is one."""
    numbers = np.full((len(frames), len(cameras), joints, 3), np.nan, dtype=np.float32)
    for at, camera in enumerate(cameras):
        if camera is not None:
            numbers[:, at, :, 2] = 1.0
            numbers[:, at, :, : camera.shape[-1]] = camera[frames]
    keypoints, confidence = torch.from_numpy(numbers).split([2, 1], dim=-1)
    confidence = torch.where(confidence.isnan(), 1.0, confidence)
    seen = keypoints.isfinite().all(dim=-1, keepdim=True) & (confidence > 0)
    confidence = torch.where(seen, confidence.clamp(0, 1), 0.0)
    return torch.where(seen, keypoints, torch.nan), confidence[..., 0]
