"""BVH motion capture filmed by a simulated rig."""

import csv
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from math import cos, pi, sin
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.parse.folders import files_with, folders_in
from selfsup_lifting.parse.unpacking import require_written
from selfsup_lifting.read_errors import Place, listed
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.reader import Reader, ReadResult
from selfsup_lifting.recording import Recording, Source
from selfsup_lifting.simulation.bvh import JointPoses, Motion, joint_poses, load_bvh
from selfsup_lifting.simulation.detector_noise import film, generator_for
from selfsup_lifting.simulation.rigs import simulated_rig
from selfsup_lifting.skeleton.infer import body_by_names, plain_joint
from selfsup_lifting.skeleton.skeleton_file import find_skeleton
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton, root_position

# The distance from the head joint to the top of the head if the file's End Site has no length,
# as in those Bandai Namco files that have one [m].
HEAD_LENGTH = 0.10

# The head and the feet, between which a person who stands is upright.
UPRIGHT = ("head_top", "left_ankle", "right_ankle")
# The length of a leg from hip to ankle, from which the unit of the file is recognized [m].
SHORTEST_LEG, LONGEST_LEG = 0.2, 1.9
# The size of any other body; the first unit that fits is used [m].
SMALLEST_BODY, LARGEST_BODY = 0.1, 5.0
# A person whose hips are the origin is nearer [m].
FARTHEST_FROM_GROUND = 1.5
UNITS = {"cm": 0.01, "m": 1.0, "mm": 0.001}

# The joints of motion capture whose mean is a joint of Human3.6M, best first. Motion capture
# names a joint after the segment that begins there: an upper leg is a hip.
_SOURCES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "pelvis": (("hips",), ("pelvis",), ("hip",)),
    "hip": (("upperleg",), ("upleg",), ("thigh",), ("hip",)),
    "knee": (("lowerleg",), ("leg",), ("shin",), ("knee",)),
    "ankle": (("foot",), ("ankle",)),
    "spine": (("spine1",), ("spine", "chest"), ("spine",), ("chest",), ("abdomen",)),
    "thorax": (("neck",), ("upperneck",)),
    "nose": (("head",),),
    "head_top": (("headend",),),
    "shoulder": (("upperarm",), ("arm",), ("shldr",), ("shoulder",)),
    "elbow": (("lowerarm",), ("forearm",), ("elbow",)),
    "wrist": (("hand",), ("wrist",)),
}


def _recognizes(path: Path) -> bool:
    return path.suffix.lower() == ".bvh" or (path.is_dir() and bool(_clips(path)))


def _read(path: Path, settings: ReadSettings) -> list[ReadResult]:
    """Simulate recordings of one clip, or every clip of a folder; the seed fixes the result."""
    cameras = simulated_rig(settings)
    labels = _manifest(path if path.is_dir() else path.parent)
    results = [_film_clip(clip, labels, cameras, settings) for clip in _clips(path)]
    below = [] if path.is_file() else [file for one in folders_in(path) for file in _clips(one)]
    if not below:
        return results
    note = f"{path}: files in the folders below are not read: {listed(below)}"
    return [replace(results[0], notes=(*results[0].notes, note)), *results[1:]]


READER = Reader("mocap", _recognizes, _read)


def _clips(path: Path) -> list[Path]:
    return files_with(path, ".bvh") if path.is_dir() else [path]


def _film_clip(
    clip: Path, labels: Mapping[str, tuple[str, str]], cameras: Cameras, settings: ReadSettings
) -> ReadResult:
    motion = load_bvh(clip)
    if settings.detected_skeleton is None:
        skeleton = SKELETONS["h36m17"]
        points = human_joints(clip, motion)
    else:
        skeleton = find_skeleton(settings.detected_skeleton)
        points = named_joints(clip, motion, skeleton)
    notes = (
        *_note_on_angles(clip, motion), *_note_on_up(clip, points, skeleton),
        *_note_on_height(clip, points),
    )  # fmt: skip
    truth = _centered(points, skeleton)
    if settings.cameras is None:  # actors walk along a room's axes: turn them between two cameras
        truth = _rotated(truth, pi / cameras.views)
    subject, action = labels.get(clip.name) or _from_name(clip.stem)
    generator = generator_for(settings.simulation_seed, clip.stem)
    seen = film(cameras, truth, settings.noise, generator, skeleton)
    recording = Recording(
        clip.stem, subject, action, motion.fps, skeleton, cameras, *seen,
        truth=truth.float(),
        source=Source("BVH", clip),
    )  # fmt: skip
    return ReadResult(recording, notes=notes)


def _note_on_angles(clip: Path, motion: Motion) -> Iterator[str]:
    """Yield a note if no angle is larger than a turn in radians."""
    kinds = [channel for joint in motion.joints for channel in joint.channels]
    angles = motion.channels[:, [kind.endswith("rotation") for kind in kinds]]
    largest = float(angles.abs().max()) if angles.numel() else 0.0
    if 0 < largest <= 2 * pi:
        yield (
            f"{clip}: no joint is turned by more than {largest:.2g} degrees in any frame: are the "
            "angles in radians? BVH has degrees"
        )


def _note_on_up(
    clip: Path, points: Float[Tensor, "frames joints 3"], skeleton: Skeleton
) -> Iterator[str]:
    """Yield a note if a person, with z up, does not stand upright: the file may be z up."""
    if not {*UPRIGHT} <= {*skeleton.joints}:
        return
    head, *feet = (points[:, skeleton.joints.index(joint)] for joint in UPRIGHT)
    x, y, z = (head - torch.stack(feet).mean(dim=0)).median(dim=0).values.tolist()
    if z < max(abs(x), abs(y), abs(z)):
        yield (
            f"{clip}: from the feet to the head, x, y and z of the file differ by {x:.2g}, {z:.2g} "
            f"and {-y:.2g} m; y is taken to point up: does the person lie, or is the file z up?"
        )


def _note_on_height(clip: Path, points: Float[Tensor, "frames joints 3"]) -> Iterator[str]:
    """Yield a note if the lowest joint is far from the ground, which the cameras stand on."""
    lowest = float(points[..., 2].amin(dim=1).median())
    if abs(lowest) > FARTHEST_FROM_GROUND:
        side = "below" if lowest < 0 else "above"
        yield (
            f"{clip}: the lowest joint is {abs(lowest):.3g} m {side} the ground (height 0), on "
            "which the simulated cameras stand: they may not see the person"
        )


def named_joints(
    clip: Path, motion: Motion, skeleton: Skeleton
) -> Float[Tensor, "frames joints 3"]:
    """Find the joints of a skeleton by their names in a motion, in meters, z up.

    Args:
        clip: The file, for the message of an error.
        motion: Hierarchy and channels, y up.
        skeleton: A skeleton with the joint names of the file.

    Returns:
        The joints in the order of the skeleton; the unit is recognized from the size of the body.

    Raises:
        ReadError: If the file lacks a joint.
    """
    body = body_by_names(clip, [joint.name for joint in motion.joints], declared=skeleton)
    positions = joint_poses(motion).positions[:, list(body.order)]
    return _z_up(positions * meters_per_unit_of(clip, positions))


def meters_per_unit_of(clip: Path, positions: Float[Tensor, "frames joints 3"]) -> float:
    """Find the unit of length of a body from its size.

    Args:
        clip: The file, for the message of an error.
        positions: The joints, in the unit of the file.

    Returns:
        The meters of the first unit of cm, m and mm that makes the body 0.1 to 5 m large.

    Raises:
        ReadError: If no unit does.
    """
    size = (positions.amax(dim=1) - positions.amin(dim=1)).norm(dim=-1).median()
    fitting = [meters for meters in UNITS.values() if SMALLEST_BODY <= size * meters < LARGEST_BODY]
    if not fitting:
        raise Place(clip).error(
            f"expected a body of {SMALLEST_BODY} to {LARGEST_BODY} m, got {float(size):g} in none "
            f"of {', '.join(UNITS)}"
        )
    return fitting[0]


def human_joints(clip: Path, motion: Motion) -> Float[Tensor, "frames joints 3"]:
    """Find Human3.6M's joints in a motion, in meters, z up.

    Args:
        clip: The file, for the message of an error.
        motion: Hierarchy and channels, y up.

    Returns:
        The joints in the order of `h36m17`. The spine is between the lower and the upper spine
        joint, the thorax at the beginning of the neck, the nose at the beginning of the head, and
        the top of the head at the end of the head's last bone, or `HEAD_LENGTH` from the head
        joint if that bone has no length. A file with all names of `h36m17`, as `save_tracks` writes
        it, has these joints.

    Raises:
        ReadError: If the file has no joint for one of these.
    """
    poses = joint_poses(motion)
    known = {_part(joint.name): poses.positions[:, at] for at, joint in enumerate(motion.joints)}
    meters = _meters_per_unit(clip, known)
    body = SKELETONS["h36m17"].joints
    if {*body} <= {joint.name for joint in motion.joints}:  # as `save_tracks` names them
        return _z_up(torch.stack([known[_part(joint)] for joint in body], dim=1) * meters)
    known |= _head_end(motion, poses, meters)
    found = {joint: _position(joint, known) for joint in body}
    missing = [joint for joint, position in found.items() if position is None]
    if missing:
        names = ", ".join(joint.name for joint in motion.joints)
        raise Place(clip).error(
            f"no joint for {', '.join(missing)} by the names of motion capture, such as Hips, Neck "
            f"and Head, among {names}; --detected-skeleton names another body: coco17, or FILE.toml"
        )
    stacked = torch.stack([one for one in found.values() if one is not None], dim=1)
    return _z_up(stacked * meters)


def _z_up(points: Float[Tensor, "frames joints 3"]) -> Float[Tensor, "frames joints 3"]:
    x, y, z = points.unbind(dim=-1)
    return torch.stack([x, -z, y], dim=-1)


def _position(joint: str, known: Mapping[str, Tensor]) -> Tensor | None:
    """Average the first set of source joints that the file has completely, on the same side."""
    side = next((side for side in ("left_", "right_") if joint.startswith(side)), "")
    for sources in _SOURCES[joint.removeprefix(side)]:
        if all(side + source in known for source in sources):
            return torch.stack([known[side + source] for source in sources]).mean(dim=0)
    return None


def _head_end(motion: Motion, poses: JointPoses, meters: float) -> dict[str, Tensor]:
    """Compute the top of the head from the end of the head's bone."""
    for at, joint in enumerate(motion.joints):
        if _part(joint.name) == "head":
            end = torch.tensor(joint.end or (0.0, 0.0, 0.0), dtype=torch.float64)
            if not end.any():
                bone = torch.tensor(joint.offset, dtype=torch.float64)
                end = bone / bone.norm().clamp(min=1e-9) * (HEAD_LENGTH / meters)
            rotated = (poses.rotations[:, at] @ end[:, None])[..., 0]
            return {"headend": poses.positions[:, at] + rotated}
    return {}


def _part(name: str) -> str:
    """Normalize a joint name to a side and a body part: `left_upperleg`, `hips`."""
    plain = plain_joint(name.replace("joint_", ""))
    side = next((side for side in ("left_", "right_") if plain.startswith(side)), "")
    return side + plain.removeprefix(side).replace("_", "")


def _meters_per_unit(clip: Path, known: Mapping[str, Tensor]) -> float:
    """Recognize the unit of a file from the length of a leg; meters if it has no leg."""
    leg = [_position(f"left_{joint}", known) for joint in ("hip", "knee", "ankle")]
    if any(joint is None for joint in leg):
        return 1.0
    hip, knee, ankle = (joint for joint in leg if joint is not None)
    length = float((hip - knee).norm(dim=-1).mean() + (knee - ankle).norm(dim=-1).mean())
    for meters in UNITS.values():
        if SHORTEST_LEG <= length * meters < LONGEST_LEG:
            return meters
    raise Place(clip).error(
        f"expected a leg of {SHORTEST_LEG} to {LONGEST_LEG} m, got {length:g} in none of "
        f"{', '.join(UNITS)}"
    )


def _centered(
    points: Float[Tensor, "frames joints 3"], skeleton: Skeleton
) -> Float[Tensor, "frames joints 3"]:
    """Move the middle of the path on the floor to the origin."""
    path = root_position(points, skeleton.root)[:, 0, :2]
    middle = (path.amin(dim=0) + path.amax(dim=0)) / 2
    return points - torch.cat([middle, middle.new_zeros(1)])


def _rotated(
    points: Float[Tensor, "frames joints 3"], angle: float
) -> Float[Tensor, "frames joints 3"]:
    x, y, z = points.unbind(dim=-1)
    cosine, sine = cos(angle), sin(angle)
    return torch.stack([cosine * x - sine * y, sine * x + cosine * y, z], dim=-1)


def _manifest(folder: Path) -> dict[str, tuple[str, str]]:
    """Read subject and action of each file from a `manifest.csv` beside the clips."""
    table = folder / "manifest.csv"
    if not table.is_file():
        return {}
    require_written(table)
    with table.open(newline="", encoding="utf-8-sig") as lines:
        rows = list(csv.DictReader(lines))
    if not rows or not {"file", "content", "style"} <= set(rows[0]):
        return {}
    return {row["file"]: (row["style"], row["content"]) for row in rows}


def _from_name(stem: str) -> tuple[str, str]:
    """Read subject and action from names like `dataset-1_walk_happy_001`."""
    match = re.fullmatch(r"(?:.*_)?([^_]+)_([^_]+)_\d+", stem)
    return (match[2], match[1]) if match else ("unknown", stem)
