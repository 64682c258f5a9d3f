"""The unit, the vertical and the origin of a rig that was calibrated from people."""

import re
from itertools import permutations
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import CalibratedRig, Cameras, Similarity, transform_cameras
from selfsup_lifting.calibration_settings import TALLEST, CalibrationSettings, Start
from selfsup_lifting.safe_text import spelled_as
from selfsup_lifting.self_calibration.body import bone_length, find_vertical, stature
from selfsup_lifting.skeleton.skeletons import Skeleton


class Scale(NamedTuple):
    """The factor from the unit of a rig, what gave it, and whether the result is in meters."""

    factor: float
    source: str
    is_metric: bool = True


def known_scale(
    rig: CalibratedRig, skeleton: Skeleton, settings: CalibrationSettings, start: Start
) -> Scale:
    """Return the factor that makes the rig metric, and what it was found from.

    Raises:
        ValueError: If the rig does not show the length.
    """
    require_lengths(settings, skeleton.joints, rig.cameras.names)
    if settings.stature is not None:
        measured, known = stature(skeleton, rig.points), settings.stature
        what = f"the stature of {known:g} m"
    elif settings.bone is not None:
        (first, second), known = _length("bone", settings.bone, skeleton.joints)
        measured = bone_length(skeleton, rig.points, (first, second))
        what = f"the distance of {known:g} m from {first} to {second}"
    elif settings.distance is not None:
        (first, second), known = _length("distance", settings.distance, rig.cameras.names)
        measured = _camera_distance(rig.cameras, first, second)
        what = f"the distance of {known:g} m from {first} to {second}"
    elif start is Start.CALIBRATION:
        return Scale(1.0, "the given calibration")
    else:
        return Scale(1.0, "nothing: it is free", is_metric=False)
    if not measured > 0:
        raise ValueError(
            f"the rig must show {what} to have a scale, got {measured:g}; likely causes: joints "
            "that two cameras never detect together, or, for a stature, points that are no person's"
        )
    return Scale(known / measured, what)


def require_lengths(
    settings: CalibrationSettings, joints: tuple[str, ...], cameras: tuple[str, ...]
) -> None:
    """Refuse lengths that cannot give the scale, before any work is done.

    Raises:
        ValueError: If there are several, or one is not written `one-other=meters` with two that are
            known, or a bone is longer than a person.
    """
    given = [one for one in (settings.stature, settings.bone, settings.distance) if one is not None]
    if len(given) > 1:
        raise ValueError("one of `stature`, `bone` and `distance` must give the scale, got several")
    if settings.bone is not None:
        _, bone = _length("bone", settings.bone, joints)
        if bone > TALLEST:
            raise ValueError(
                f"`bone` must be at most {TALLEST} m long, got {settings.bone}: centimeters?"
            )
    if settings.distance is not None:
        _length("distance", settings.distance, cameras)


def notes_on_bone(settings: CalibrationSettings, skeleton: Skeleton) -> list[str]:
    """Doubt a scale from two joints that are neither the ends of a bone nor of one parent."""
    if settings.bone is None:
        return []
    (first, second), _ = _length("bone", settings.bone, skeleton.joints)
    ends = tuple(skeleton.joints.index(name) for name in (first, second))
    parents = [skeleton.parents[end] for end in ends]
    is_rigid = ends[0] == parents[1] or ends[1] == parents[0] or parents[0] == parents[1]
    if is_rigid:
        return []
    return [
        f"`bone` gives the distance from {first} to {second}, which no bone of {skeleton.name} "
        "joins: if it changes with the pose, the scale is wrong; the length of a bone is constant"
    ]


def in_room(rig: CalibratedRig, skeleton: Skeleton, fps: float) -> tuple[CalibratedRig, str]:
    """Move the world to the ground below the middle of the people, z up.

    The x axis is the horizontal part of the first camera's x axis.

    Returns:
        The rig, and what the vertical was found from: the feet, the spine or the cameras.
    """
    found = find_vertical(skeleton, rig.points, fps)
    if found is None:
        up = -rig.cameras.camera_from_world[:, 1, :3].mean(dim=0)
        ground = rig.points.flatten(0, -2).nanmedian(dim=0).values.to(up)
        source = "the cameras, which are taken to be upright"
    else:
        up, ground, source = found.up.to(rig.cameras.intrinsics), found.ground, found.source
    z = up / up.norm()
    right = rig.cameras.camera_from_world[0, 0, :3]
    x = right - (right @ z) * z
    x = x / x.norm()
    rotation = torch.stack([x, torch.linalg.cross(z, x), z])
    moved = Similarity(rotation, -(rotation @ ground.to(rotation)), rotation.new_tensor(1.0))
    return _moved(rig, moved), source


def _moved(rig: CalibratedRig, moved: Similarity) -> CalibratedRig:
    dtype = rig.points.dtype
    points = Similarity(
        moved.rotation.to(dtype), moved.translation.to(dtype), moved.scale.to(dtype)
    )
    rotation = moved.rotation.to(rig.covariance)
    covariance = rig.covariance.clone()
    covariance[:, 3:6] = rotation @ covariance[:, 3:6]
    covariance[:, :, 3:6] = covariance[:, :, 3:6] @ rotation.mT
    return rig._replace(
        cameras=transform_cameras(rig.cameras, moved),
        points=points.apply(rig.points),
        covariance=covariance,
    )


def _camera_distance(cameras: Cameras, first: str, second: str) -> float:
    centers: Float[Tensor, "2 3"] = cameras.select([first, second]).centers
    return float((centers[0] - centers[1]).norm())


def _length(option: str, text: str, known: tuple[str, ...]) -> tuple[tuple[str, str], float]:
    """Parse `one-other=length`."""
    names, equals, number = text.partition("=")
    joined = [("-".join(pair), pair) for pair in permutations(known, 2)]
    spelled = spelled_as(names, [both for both, _ in joined])
    pairs = [pair for both, pair in joined if both == spelled]
    is_number = re.fullmatch(r"\d*\.?\d+", number)
    if not (equals and len(pairs) == 1 and is_number and float(number) > 0):
        raise ValueError(
            f"`{option}` must be written one-other=meters, above 0, with two of "
            f"{', '.join(known)}, got {text!r}"
        )
    return pairs[0], float(number)
