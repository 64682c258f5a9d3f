"""VideoPose3D's npz of a benchmark: subject, action and camera to arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from selfsup_lifting.files.parse.safe_pickle import load_npz_with_objects
from selfsup_lifting.recording import ReadError
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton, find_skeleton, mirrored_by_name

NUMBERS_2D = (2, 3)
AXES = 3


def without(skeleton: Skeleton, joint: str) -> Skeleton:
    """Leave a joint out of a skeleton; its children hang on its parent, a lost root on the hips."""
    lost = skeleton.joints.index(joint)
    joints = tuple(name for name in skeleton.joints if name != joint)

    def parent_of(name: str) -> int:
        parent = skeleton.parents[skeleton.joints.index(name)]
        parent = skeleton.parents[parent] if parent == lost else parent
        return joints.index(skeleton.joints[parent]) if parent >= 0 else -1

    roots = ("left_hip", "right_hip") if lost in skeleton.root else ()
    names = roots or tuple(skeleton.joints[place] for place in skeleton.root)
    return Skeleton(
        name=f"{skeleton.name} without {joint}",
        joints=joints,
        parents=tuple(parent_of(name) for name in joints),
        mirrored=mirrored_by_name(joints),
        root=tuple(joints.index(name) for name in names),
    )


# Skeletons told by how many joints there are and which of them are on the left: "16 joints" means
# several things, and files made by others than VideoPose3D name no layout.
BY_SYMMETRY: Mapping[tuple[int, tuple[int, ...]], Skeleton] = MappingProxyType(
    {
        (17, (4, 5, 6, 11, 12, 13)): SKELETONS["h36m17"],
        (17, (1, 3, 5, 7, 9, 11, 13, 15)): SKELETONS["coco17"],
        (16, (3, 4, 5, 13, 14, 15)): SKELETONS["mpii16"],
        (16, (4, 5, 6, 10, 11, 12)): without(SKELETONS["h36m17"], "nose"),
        (16, (3, 4, 5, 10, 11, 12)): without(SKELETONS["h36m17"], "pelvis"),
        (15, (2, 3, 4, 8, 9, 10)): SKELETONS["humaneva15"],
    }
)


@dataclass(frozen=True)
class Table2D:
    """What a 2D file holds.

    Attributes:
        path: The file.
        skeleton: What the joints are.
        poses: For each subject and action, one array or None per camera.
    """

    path: Path
    skeleton: Skeleton
    poses: Mapping[str, Mapping[str, Sequence[NDArray[Any] | None]]]


def is_2d_table(path: Path, prefix: str) -> bool:
    """Tell a 2D file of a benchmark by its name and its content."""
    return path.name.startswith(prefix) and _has_member(path, "positions_2d.npy")


def find_2d_table(path: Path, prefix: str, preferred: str) -> Path:
    """Choose among the 2D files of a folder: the only one, or the preferred detector's.

    Args:
        path: The folder, or the file itself.
        prefix: How the names begin.
        preferred: The detector whose file is taken where there are several.

    Returns:
        The file.

    Raises:
        ReadError: If there is none, or nothing tells which.
    """
    if path.is_file():
        return path
    found = [file for file in sorted(path.glob(f"{prefix}*.npz")) if is_2d_table(file, prefix)]
    wanted = [file for file in found if preferred in file.name]
    if len(wanted or found) == 1:
        return (wanted or found)[0]
    names = ", ".join(file.name for file in found) or "none"
    raise ReadError(f"{path}: which 2D file is meant, of {names}? Name it instead of the folder")


def read_2d_table(path: Path, told: str | None) -> Table2D:
    """Read the 2D poses of a benchmark.

    Args:
        path: The npz.
        told: The skeleton that the user names; else it is told from the metadata.

    Returns:
        The table.

    Raises:
        ReadError: If something else lies there, or the skeleton cannot be told.
    """
    content = load_npz_with_objects(path)
    poses = _nested(path, content.get("positions_2d"), "positions_2d")
    for subject, actions in poses.items():
        for action, cameras in actions.items():
            if not isinstance(cameras, list | tuple):
                raise ReadError(f"{path}: {subject} {action} must be a list of cameras")
    joints = _joint_count(path, poses)
    if told is not None:
        return Table2D(path, _of_count(path, find_skeleton(told), joints), poses)
    return Table2D(path, _told_by(path, content.get("metadata"), joints), poses)


def read_3d_table(path: Path) -> Mapping[str, Mapping[str, NDArray[Any]]]:
    """Read the 3D poses of a benchmark: subject and action to frames of joints [m].

    Args:
        path: The npz.

    Returns:
        The poses.

    Raises:
        ReadError: If something else lies there.
    """
    poses = _nested(path, load_npz_with_objects(path).get("positions_3d"), "positions_3d")
    for subject, actions in poses.items():
        for action, positions in actions.items():
            fits = isinstance(positions, np.ndarray) and positions.ndim == AXES
            if not fits or positions.shape[-1] != AXES or positions.dtype.kind not in "fiu":
                raise ReadError(f"{path}: {subject} {action} must be frames x joints x 3 numbers")
    return poses


def keypoints_of(
    table: Table2D, subject: str, action: str, frames: slice, views: int
) -> tuple[Float[Tensor, "frames views joints 2"], Float[Tensor, "frames views joints"]]:
    """Put the cameras of a take together.

    Args:
        table: The 2D file.
        subject: Whose take.
        action: Which take.
        frames: Which frames are wanted.
        views: How many cameras the rig has.

    Returns:
        Keypoints [px], NaN from a camera that has none, and confidences: the third number where
        the file has one, else one where a keypoint is finite.

    Raises:
        ReadError: If the arrays do not fit the skeleton, the rig or each other.
    """
    cameras = table.poses[subject][action]
    where = f"{table.path}: {subject} {action}"
    if len(cameras) != views:
        raise ReadError(f"{where} has {len(cameras)} cameras, the calibration {views}")
    there = [poses for poses in cameras if poses is not None]
    if not there:
        raise ReadError(f"{where} was seen by no camera")
    for poses in there:
        _require_poses(where, poses, len(table.skeleton.joints))
    shortest = min(len(poses) for poses in there)
    chosen = range(shortest)[frames]
    joints = len(table.skeleton.joints)
    numbers = np.full((len(chosen), views, joints, 3), np.nan, dtype=np.float32)
    for at, camera in enumerate(cameras):
        if camera is not None:
            numbers[:, at, :, 2] = 1.0
            numbers[:, at, :, : camera.shape[-1]] = camera[:shortest][frames]
    stacked = torch.from_numpy(numbers)
    keypoints, confidence = stacked[..., :2], stacked[..., 2]
    seen = keypoints.isfinite().all(dim=-1) & (confidence > 0)
    return (
        torch.where(seen[..., None], keypoints, torch.nan),
        torch.where(seen, confidence.clamp(0, 1), 0.0),
    )


def shortest_take(table: Table2D, subject: str, action: str) -> int:
    """Return how many frames every camera of a take has."""
    return min((len(one) for one in table.poses[subject][action] if one is not None), default=0)


def _has_member(path: Path, name: str) -> bool:
    try:
        with ZipFile(path) as archive:
            return name in archive.namelist()
    except (BadZipFile, OSError, NotImplementedError):
        return False


def _nested(path: Path, value: Any, name: str) -> Mapping[str, Mapping[str, Any]]:  # noqa: ANN401 - whatever the pickle holds
    whole = isinstance(value, dict) and value
    if not whole or not all(isinstance(actions, dict) for actions in value.values()):
        raise ReadError(f"{path}: `{name}` must tell subjects and their actions")
    return value  # type: ignore[no-any-return]


def _joint_count(path: Path, poses: Mapping[str, Mapping[str, Any]]) -> int:
    arrays = (one for actions in poses.values() for cameras in actions.values() for one in cameras)
    first = next((one for one in arrays if one is not None), None)
    if not isinstance(first, np.ndarray) or first.ndim != AXES:
        raise ReadError(f"{path}: poses must be frames x joints x 2 numbers")
    return int(first.shape[1])


def _told_by(path: Path, metadata: Any, joints: int) -> Skeleton:  # noqa: ANN401 - whatever the pickle holds
    """Tell the skeleton from left and right, else from the number of joints."""
    symmetry = metadata.get("keypoints_symmetry") if isinstance(metadata, dict) else None
    if isinstance(symmetry, list | tuple) and len(symmetry) == 2:  # noqa: PLR2004 - two sides
        left = tuple(sorted(int(joint) for joint in symmetry[0]))
        if (joints, left) in BY_SYMMETRY:
            return BY_SYMMETRY[joints, left]
    raise ReadError(
        f"{path}: nothing tells what its {joints} joints are; name the skeleton with "
        f"--detected-skeleton, one of {', '.join(SKELETONS)} or a .toml file"
    )


def _of_count(path: Path, skeleton: Skeleton, joints: int) -> Skeleton:
    if len(skeleton.joints) != joints:
        raise ReadError(
            f"{path} has {joints} joints, the skeleton {skeleton.name} {len(skeleton.joints)}"
        )
    return skeleton


def _require_poses(where: str, poses: Any, joints: int) -> None:  # noqa: ANN401 - whatever the pickle holds
    fits = isinstance(poses, np.ndarray) and poses.ndim == AXES and poses.dtype.kind in "fiu"
    if not fits or poses.shape[-1] not in NUMBERS_2D:
        raise ReadError(f"{where}: expected frames x joints x 2 numbers per camera")
    if poses.shape[1] != joints:
        raise ReadError(f"{where}: expected {joints} joints per pose, got {poses.shape[1]}")
