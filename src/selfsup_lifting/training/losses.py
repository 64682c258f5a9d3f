"""The four self-supervised losses of the paper.

Poses are joints relative to the root, in the axes of the camera that each was lifted from, or of
the world. `camera_from_root` is each view's rigid transform from the world's axes, with the origin
moved to the root of the frame, to the camera; `rotations` is its rotation part, the paper's rho
for root-centered poses. Images are in normalized coordinates, so a projection is a division by the
depth. A mask selects the elements that count; every loss is the mean of a norm over those
elements, and zero if there are none.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import (
    camera_to_camera,
    camera_to_world,
    from_homogeneous,
    point_depths,
    project_points,
    rigid_transform,
    triangulate_dlt,
    world_to_camera,
)
from selfsup_lifting.config import Norm
from selfsup_lifting.skeleton.skeletons import root_position

# Deviation at which the Huber norm becomes linear [m]: about the error of a good pseudo-label.
HUBER_DELTA = 0.05

# Predicted joints with less than this share of the root's depth are not projected into a camera:
# early in training they may lie anywhere, and the other losses correct them.
NEAREST_SHARE = 0.5


def input_triangulation_loss(
    poses: Float[Tensor, "frames views joints 3"],
    labels: Float[Tensor, "frames joints 3"],
    rotations: Float[Tensor, "frames views 4 4"],
    mask: Bool[Tensor, "frames views joints"],
    norm: Norm = Norm.SQUARED_L2,
) -> Float[Tensor, ""]:
    """Compare each view's prediction with the triangulated input: L_in.

    Args:
        poses: Each view's prediction, in its own axes [m].
        labels: The triangulated input in the world's axes, relative to the root [m].
        rotations: Each view's rotation.
        mask: Which joints of which views count.
        norm: The norm of a deviation.

    Returns:
        The loss [m^2 for the squared norm, else m].

    Reference:
        Bouazizi et al., FG 2021, eq. 2.
    """
    return _masked_mean(_norm(world_to_camera(rotations, labels) - poses, norm), mask)


def projection_loss(
    poses: Float[Tensor, "frames views joints 3"],
    image: Float[Tensor, "frames views joints 2"],
    camera_from_root: Float[Tensor, "frames views 4 4"],
    mask: Bool[Tensor, "frames views views joints"],
    *,
    root: tuple[int, ...],
) -> Float[Tensor, ""]:
    """Project each view's prediction into every view and compare with the detections: L_proj.

    Args:
        poses: Each view's prediction, in its own axes [m].
        image: Each view's detections, relative to the root in the image [focal lengths].
        camera_from_root: Each view's transform from the root.
        mask: Which joints count, for every source view and every target view.
        root: The joints whose mean is the root.

    Returns:
        The loss, in the L1 norm [focal lengths].

    Reference:
        Bouazizi et al., FG 2021, eq. 3; the root of a projection is the triangulated root.
    """
    in_world = camera_to_world(rotation_part(camera_from_root), poses)
    # Axes: frames, source view, target view.
    projections = camera_from_root[:, None, :, :3, :]
    projected = project_points(projections, in_world)
    projected = projected - root_position(projected, root)
    # A joint near a camera's plane has a meaningless projection and a huge gradient.
    nearest = NEAREST_SHARE * camera_from_root[:, None, :, 2, 3, None]
    reliable = point_depths(projections, in_world) > nearest
    return _masked_mean(_norm(projected - image[:, None], Norm.L1), mask & reliable)


def consistency_loss(
    poses: Float[Tensor, "frames views joints 3"],
    rotations: Float[Tensor, "frames views 4 4"],
    usable: Bool[Tensor, "frames views"],
    *,
    labels: Float[Tensor, "frames joints 3"] | None = None,
    labelled: Bool[Tensor, "frames joints"] | None = None,
    detach_targets: bool = True,
) -> Float[Tensor, ""]:
    """Compare each view's prediction with every other view's, rotated to its axes: L_con.

    Args:
        poses: Each view's prediction, in its own axes [m].
        rotations: Each view's rotation.
        usable: Which views' predictions count.
        labels: Poses in the world's axes, relative to the root, to compare with instead of the
            other views' predictions [m].
        labelled: Which labels are known.
        detach_targets: Whether the target view passes no gradient.

    Returns:
        The loss, in the L1 norm [m].

    Reference:
        Bouazizi et al., FG 2021, eq. 4.
    """
    targets = poses.detach() if detach_targets else poses
    if labels is not None:
        targets = world_to_camera(rotations, labels)
    # Axes: frames, target view, source view.
    rotated = camera_to_camera(rotations[:, :, None], rotations[:, None], poses[:, None])
    others = ~torch.eye(poses.shape[1], dtype=torch.bool, device=poses.device)
    pairs = usable[:, :, None] & usable[:, None] & others
    deviations = _norm(targets[:, :, None] - rotated, Norm.L1)
    counted = pairs[..., None].expand(deviations.shape)
    if labels is not None and labelled is not None:
        counted = counted & labelled[:, None, None]
    return _masked_mean(deviations, counted)


def output_triangulation_loss(
    poses: Float[Tensor, "frames views joints 3"],
    camera_from_root: Float[Tensor, "frames views 4 4"],
    usable: Bool[Tensor, "frames views"],
    *,
    root: tuple[int, ...],
    norm: Norm = Norm.SQUARED_L2,
    detach_targets: bool = True,
) -> Float[Tensor, ""]:
    """Project and triangulate the predictions, and compare each with the result: L_out.

    Args:
        poses: Each view's prediction, in its own axes [m].
        camera_from_root: Each view's transform from the root.
        usable: Which views' predictions count.
        root: The joints whose mean is the root.
        norm: The norm of a deviation.
        detach_targets: Whether the triangulated output passes no gradient.

    Returns:
        The loss [m^2 for the squared norm, else m].

    Reference:
        Bouazizi et al., FG 2021, eq. 5: each view's prediction is projected into its own camera,
        and these projections are triangulated.
    """
    in_camera = poses + camera_from_root[:, :, None, :3, 3]
    counts = (usable[..., None] & (in_camera[..., 2] > 0)).to(poses.dtype)
    output = triangulate_dlt(
        camera_from_root[..., :3, :], from_homogeneous(in_camera), weights=counts
    )
    output = output - root_position(output, root)
    found = output.isfinite().all(dim=-1)
    output = torch.where(found[..., None], output, 0.0)
    targets = output.detach() if detach_targets else output
    deviations = _norm(world_to_camera(rotation_part(camera_from_root), targets) - poses, norm)
    return _masked_mean(deviations, usable[..., None] & found[:, None])


def rotation_part(transform: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """Return the rotations of rigid transforms, without their translations."""
    return rigid_transform(transform[..., :3, :3], torch.zeros_like(transform[..., :3, 3]))


def _norm(deviation: Float[Tensor, "*batch d"], norm: Norm) -> Float[Tensor, "*batch"]:
    if norm is Norm.SQUARED_L2:
        return deviation.square().sum(dim=-1)
    if norm is Norm.L1:
        return deviation.abs().sum(dim=-1)
    size = deviation.abs()
    square, line = 0.5 * size.square(), HUBER_DELTA * (size - 0.5 * HUBER_DELTA)
    return torch.where(size < HUBER_DELTA, square, line).sum(dim=-1)


def _masked_mean(values: Tensor, mask: Tensor) -> Float[Tensor, ""]:
    counted = torch.where(mask, values, 0.0)
    return counted.sum() / mask.sum().clamp(min=1)
