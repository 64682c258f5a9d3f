"""New poses from old ones: bodies with the arms and legs of other frames.

A recording shows few combinations of the poses of arms and legs. The pose of a limb relative to
the body's heading fits any other body of the same person: a network that sees such mixtures learns
each limb from its own joints, instead of recalling whole poses.
"""

from functools import cache

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import rotation_from_vector
from selfsup_lifting.skeleton.skeletons import Skeleton

TOPS = ("shoulder", "hip")
SIDES = ("left", "right")
# Standard deviation of each component of the rotation of a mixed limb [rad].
TURN = 0.15


def mix_limbs(
    labels: Float[Tensor, "frames joints 3"],
    labelled: Bool[Tensor, "frames joints"],
    upright: Float[Tensor, "frames 3 3"],
    skeleton: Skeleton,
    share: float,
) -> tuple[Float[Tensor, "frames joints 3"], Bool[Tensor, "frames joints"]]:
    """Replace a random share of the limbs by those of other frames, turned to the same heading.

    Uses the global random number generator.

    Args:
        labels: The joints relative to the root, in the world's axes [m].
        labelled: Which labels are known.
        upright: The axes of a room with z up, in the axes of each frame's world.
        skeleton: The joints.
        share: The share of the limbs.

    Returns:
        New labels, and which are known. A limb keeps its joint at the trunk; a skeleton without
        shoulders and hips by these names keeps its poses.
    """
    if share == 0:
        return labels, labelled
    heading = _heading(labels, upright, skeleton)
    if heading is None:
        return labels, labelled
    body_from_world = heading @ upright
    own = labels @ body_from_world.mT
    mixture, known = own, labelled
    for top, limb in _limbs(skeleton):
        donor = torch.randperm(len(labels), device=labels.device)
        chosen = torch.rand(len(labels), 1, dtype=torch.float32, device=labels.device) < share
        chosen = chosen & torch.tensor(limb, device=labels.device)
        offset = (own[donor] - own[donor, top, None]) @ _small_turns(labels)
        complete = labelled[donor] & labelled[donor, top, None] & labelled[:, top, None]
        known = torch.where(chosen, complete, known)
        moved = own[:, top, None] + offset
        mixture = torch.where(chosen[..., None], moved, mixture)
    labels = torch.where(known[..., None], mixture @ body_from_world, 0.0)
    return labels, known


def upright_axes(up: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3 3"]:
    """Return axes of a room, z up, as rows in the axes of the world."""
    flat = torch.zeros_like(up)
    flat.scatter_(-1, up.abs().argmin(dim=-1, keepdim=True), 1.0)
    x = torch.linalg.cross(flat, up)
    x = x / x.norm(dim=-1, keepdim=True)
    return torch.stack([x, torch.linalg.cross(up, x), up], dim=-2)


def _heading(
    labels: Float[Tensor, "frames joints 3"],
    upright: Float[Tensor, "frames 3 3"],
    skeleton: Skeleton,
) -> Float[Tensor, "frames 3 3"] | None:
    """Return rotations about the vertical that move the line between the hips to the x axis."""
    names = [f"{side}_{TOPS[1]}" for side in SIDES]
    if not {*names} <= {*skeleton.joints}:
        return None
    left, right = (labels[:, skeleton.joints.index(name)] for name in names)
    x, y, _ = ((left - right)[:, None] @ upright.mT)[:, 0].unbind(dim=-1)
    size = torch.hypot(x, y)
    turned = size > 0
    cosine, sine = (torch.where(turned, one / torch.where(turned, size, 1.0), other)
                    for one, other in ((x, 1.0), (y, 0.0)))  # fmt: skip
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    rows = [cosine, sine, zero, -sine, cosine, zero, zero, zero, one]
    return torch.stack(rows, dim=-1).unflatten(-1, (3, 3))  # type: ignore[no-any-return]


def _small_turns(labels: Float[Tensor, "frames joints 3"]) -> Float[Tensor, "frames 3 3"]:
    """Draw small rotations."""
    return rotation_from_vector(
        TURN * torch.randn(len(labels), 3, dtype=torch.float32, device=labels.device)
    )


@cache
def _limbs(skeleton: Skeleton) -> list[tuple[int, list[bool]]]:
    """Return each joint where a limb begins, and which joints are beyond it.

    A hip that carries a shoulder in the tree of the skeleton, as COCO's, begins no limb.
    """
    tops = [f"{side}_{name}" for side in SIDES for name in TOPS]
    places = [skeleton.joints.index(name) for name in tops if name in skeleton.joints]
    limbs = []
    for top in places:
        beyond = [_carries(skeleton, top, joint) for joint in range(len(skeleton.joints))]
        if any(beyond) and not any(beyond[other] for other in places):
            limbs.append((top, beyond))
    return limbs


def _carries(skeleton: Skeleton, top: int, joint: int) -> bool:
    """Return whether a joint is a descendant of another one."""
    parent = skeleton.parents[joint]
    return parent >= 0 and (parent == top or _carries(skeleton, top, parent))
