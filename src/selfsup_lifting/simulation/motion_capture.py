"""BVH motion capture filmed by a simulated rig."""

import csv
import re
from collections.abc import Mapping
from math import cos, pi, sin
from pathlib import Path
from types import MappingProxyType

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.config import ReadSettings
from selfsup_lifting.read_errors import ReadError
from selfsup_lifting.reader import Reader, ReadResult
from selfsup_lifting.recording import Recording, Source
from selfsup_lifting.simulation.bvh import Motion, Placed, load_bvh, place
from selfsup_lifting.simulation.detector_noise import film, generator_for
from selfsup_lifting.simulation.rigs import simulated_rig
from selfsup_lifting.skeleton.infer import body_by_names, plain_joint
from selfsup_lifting.skeleton.skeleton_file import find_skeleton
from selfsup_lifting.skeleton.skeletons import SKELETONS, Skeleton, root_position

# How far the top of the head lies beyond the head joint where the file's End Site has no
# length: what the Bandai Namco files say that do give one [m].
HEAD_LENGTH = 0.10

# How long a leg is from hip to ankle, from which the unit of the file is told [m].
SHORTEST_LEG, LONGEST_LEG = 0.2, 1.9
# How large a body of any other kind is, across; the first unit that fits is taken [m].
SMALLEST_BODY, LARGEST_BODY = 0.1, 5.0
UNITS = MappingProxyType({"cm": 0.01, "m": 1.0, "mm": 0.001})

# The joints of motion capture that stand for one of Human3.6M's, best first: the mean of the
# named ones. A joint is the near end of the segment that names it: an upper leg is a hip.
_ROLES: Mapping[str, tuple[tuple[str, ...], ...]] = MappingProxyType(
    {
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
)


def recognizes(path: Path) -> bool:
    """Tell a BVH file, or a folder that holds some."""
    return path.suffix.lower() == ".bvh" or (path.is_dir() and bool(_clips(path)))


def read(path: Path, settings: ReadSettings) -> list[ReadResult]:
    """Film one clip, or every clip of a folder; the same seed films the same."""
    cameras = simulated_rig(settings)
    labels = _manifest(path if path.is_dir() else path.parent)
    return [ReadResult(_film_clip(clip, labels, cameras, settings)) for clip in _clips(path)]


READER = Reader("mocap", recognizes, read)


def _clips(path: Path) -> list[Path]:
    return sorted(path.glob("*.bvh")) if path.is_dir() else [path]


def _film_clip(
    clip: Path, labels: Mapping[str, tuple[str, str]], cameras: Cameras, settings: ReadSettings
) -> Recording:
    motion = load_bvh(clip)
    skeleton, points = _joints(clip, motion, settings)
    truth = _centred(points, skeleton)
    if settings.cameras is None:
        truth = _turned(truth, pi / cameras.views)
    subject, action = labels.get(clip.name) or _from_name(clip.stem)
    seen = film(cameras, truth, settings.noise, generator_for(settings.simulation_seed, clip.stem))
    return Recording(
        name=clip.stem,
        subject=subject,
        action=action,
        fps=motion.fps,
        skeleton=skeleton,
        cameras=cameras,
        keypoints=seen.keypoints,
        confidence=seen.confidence,
        truth=truth.float(),
        source=Source("BVH", clip),
    )


def _joints(
    clip: Path, motion: Motion, settings: ReadSettings
) -> tuple[Skeleton, Float[Tensor, "frames joints 3"]]:
    """Find the joints of the skeleton that the user names, else a human's."""
    if settings.detected_skeleton is None:
        return SKELETONS["h36m17"], human_joints(clip, motion)
    told = find_skeleton(settings.detected_skeleton)
    return told, named_joints(clip, motion, told)


def named_joints(
    clip: Path, motion: Motion, skeleton: Skeleton
) -> Float[Tensor, "frames joints 3"]:
    """Find the joints that a skeleton names among those of a motion, in metres, z up.

    Args:
        clip: Where the motion comes from, for the sentence of an error.
        motion: Hierarchy and channels, y up.
        skeleton: Whose joints are called as the file calls them.

    Returns:
        The joints in the order of the skeleton; the unit is told from the size of the body.

    Raises:
        ReadError: If the file lacks a joint.
    """
    body = body_by_names(clip, [joint.name for joint in motion.joints], declared=skeleton)
    positions = place(motion).positions[:, list(body.order)]
    size = (positions.amax(dim=1) - positions.amin(dim=1)).norm(dim=-1).median()
    fitting = [metre for metre in UNITS.values() if SMALLEST_BODY <= size * metre < LARGEST_BODY]
    if not fitting:
        raise ReadError(f"{clip}: a body {float(size):g} large is none in {', '.join(UNITS)}")
    return _z_up(positions * fitting[0])


def human_joints(clip: Path, motion: Motion) -> Float[Tensor, "frames joints 3"]:
    """Find Human3.6M's joints in a motion, in metres, z up.

    Args:
        clip: Where the motion comes from, for the sentence of an error.
        motion: Hierarchy and channels, y up.

    Returns:
        The joints in the order of `h36m17`. The spine lies between the lower and the upper
        spine joint, the thorax where the neck begins, the nose where the head begins and the top
        of the head at the end of the head's last bone, or `HEAD_LENGTH` beyond the head joint
        where that bone has no length.

    Raises:
        ReadError: If a joint has nothing that stands for it.
    """
    placed = place(motion)
    known = {_part(joint.name): placed.positions[:, at] for at, joint in enumerate(motion.joints)}
    metre = _metre(clip, known)
    known |= _head_end(motion, placed, metre)
    found = {joint: _position(joint, known) for joint in SKELETONS["h36m17"].joints}
    missing = [joint for joint, position in found.items() if position is None]
    if missing:
        names = ", ".join(joint.name for joint in motion.joints)
        raise ReadError(
            f"{clip}: nothing stands for {', '.join(missing)} among {names}; what is no human "
            "needs a skeleton of its own, --detected-skeleton FILE.toml"
        )
    stacked = torch.stack([place for place in found.values() if place is not None], dim=1)
    return _z_up(stacked * metre)


def _z_up(points: Float[Tensor, "frames joints 3"]) -> Float[Tensor, "frames joints 3"]:
    x, y, z = points.unbind(dim=-1)
    return torch.stack([x, -z, y], dim=-1)


def _position(joint: str, known: Mapping[str, Tensor]) -> Tensor | None:
    """Average the first set of joints that are all there; left stays left."""
    side, _, part = (
        joint.rpartition("_") if joint.startswith(("left_", "right_")) else ("", "", joint)
    )
    prefix = f"{side}_" if side else ""
    for roles in _ROLES[part]:
        if all(prefix + role in known for role in roles):
            return torch.stack([known[prefix + role] for role in roles]).mean(dim=0)
    return None


def _head_end(motion: Motion, placed: Placed, metre: float) -> dict[str, Tensor]:
    """Find the top of the head, in the head's own frame beyond its joint."""
    for at, joint in enumerate(motion.joints):
        if _part(joint.name) == "head":
            end = torch.tensor(joint.end or (0.0, 0.0, 0.0), dtype=torch.float64)
            if not end.any():
                bone = torch.tensor(joint.offset, dtype=torch.float64)
                end = bone / bone.norm().clamp(min=1e-9) * (HEAD_LENGTH / metre)
            turned = (placed.rotations[:, at] @ end[:, None])[..., 0]
            return {"headend": placed.positions[:, at] + turned}
    return {}


def _part(name: str) -> str:
    """Normalize a joint name to a side and a body part: `left_upperleg`, `hips`."""
    plain = plain_joint(name.replace("joint_", ""))
    side = next((side for side in ("left_", "right_") if plain.startswith(side)), "")
    return side + plain.removeprefix(side).replace("_", "")


def _metre(clip: Path, known: Mapping[str, Tensor]) -> float:
    """Tell the unit of a file from the length of a leg; metres where it has none."""
    leg = [_position(f"left_{joint}", known) for joint in ("hip", "knee", "ankle")]
    if any(joint is None for joint in leg):
        return 1.0
    hip, knee, ankle = (joint for joint in leg if joint is not None)
    length = float((hip - knee).norm(dim=-1).mean() + (knee - ankle).norm(dim=-1).mean())
    for metre in UNITS.values():
        if SHORTEST_LEG <= length * metre < LONGEST_LEG:
            return metre
    raise ReadError(f"{clip}: a leg {length:g} long is none in {', '.join(UNITS)}")


def _centred(
    points: Float[Tensor, "frames joints 3"], skeleton: Skeleton
) -> Float[Tensor, "frames joints 3"]:
    """Move the middle of the path over the floor to the middle of the room."""
    path = root_position(points, skeleton.root)[:, 0, :2]
    middle = (path.amin(dim=0) + path.amax(dim=0)) / 2
    return points - torch.cat([middle, middle.new_zeros(1)])


def _turned(
    points: Float[Tensor, "frames joints 3"], angle: float
) -> Float[Tensor, "frames joints 3"]:
    """Turn the room about the vertical, by half the angle between two cameras of the ring.

    Actors walk along the axes of a room, and cameras stand in its corners: without the turn a
    walk would run into one.
    """
    x, y, z = points.unbind(dim=-1)
    return torch.stack(
        [cos(angle) * x - sin(angle) * y, sin(angle) * x + cos(angle) * y, z], dim=-1
    )


def _manifest(folder: Path) -> dict[str, tuple[str, str]]:
    """Read who does what, per file, from a `manifest.csv` beside the clips."""
    table = folder / "manifest.csv"
    if not table.is_file():
        return {}
    with table.open(newline="", encoding="utf-8-sig") as lines:
        rows = list(csv.DictReader(lines))
    if not rows or not {"file", "content", "style"} <= set(rows[0]):
        return {}
    return {row["file"]: (row["style"], row["content"]) for row in rows}


def _from_name(stem: str) -> tuple[str, str]:
    """Read subject and action from names like `dataset-1_walk_happy_001`."""
    match = re.fullmatch(r"(?:.*_)?([^_]+)_([^_]+)_\d+", stem)
    return (match[2], match[1]) if match else ("unknown", stem)
