"""The four self-supervised losses of the paper.

Poses are joints relative to the root, in the axes of the camera that each was lifted from, or of
the world. `camera_from_root` is each view's rigid transform from the world's axes, with the origin
moved to the root of the frame, to the camera; `rotations` is its rotation part, the paper's rho
for root-centered poses. Images are in normalized coordinates, so a projection is a division by the
depth. A mask selects the elements that count, and the others must be finite; every loss is the
mean of a norm over those elements, and zero if there are none.

L_proj and L_con both need every prediction in the axes of every view: `poses_in_views` computes
that once for both. These are most of the numbers of a step, so both losses compute the gradient of
their norm with its value, which needs less time and memory than what autograd would record.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import rigid_transform, triangulate_dlt
from selfsup_lifting.config import Norm
from selfsup_lifting.recording import require_kind
from selfsup_lifting.skeleton.skeletons import joints_of, root_position
from selfsup_lifting.training.distributed import mean_count

# Deviation at which the Huber norm becomes linear [m]: about the error of a good pseudo-label.
HUBER_DELTA = 0.05

# Predicted joints with less than this share of the root's depth are not projected into a camera:
# early in training they may lie anywhere, and the other losses correct them.
NEAREST_SHARE = 0.5

# Arguments that select; the others are numbers.
MASKS = ("mask", "usable", "labelled")
POSES, IN_VIEWS = "frames views joints 3", "frames views 3 views joints"
TRANSFORMS = "frames views 4 4"


def rotated_to_views(
    points: Float[Tensor, "frames joints 3"], cameras: Float[Tensor, "frames views 4 4"]
) -> Float[Tensor, "frames views joints 3"]:
    """Rotate points from the world's axes to those of every view."""
    _require_shapes(points=(points, "frames joints 3"), cameras=(cameras, TRANSFORMS))
    frames, views = cameras.shape[:2]
    turns = cameras[..., :3, :3].reshape(frames, views * 3, 3)
    return (turns @ points.mT).view(frames, views, 3, -1).mT


def input_triangulation_loss(
    poses: Float[Tensor, "frames views joints 3"],
    targets: Float[Tensor, "frames views joints 3"],
    mask: Bool[Tensor, "frames views joints"],
    norm: Norm = Norm.SQUARED_L2,
) -> Float[Tensor, ""]:
    """Compare each view's prediction with the triangulated input: L_in.

    Args:
        poses: Each view's prediction, in its own axes [m].
        targets: The triangulated input in each view's axes, from `rotated_to_views` [m].
        mask: Which joints of which views count.
        norm: The norm of a deviation.

    Returns:
        The loss [m^2 for the squared norm, else m].

    Reference:
        Bouazizi et al., FG 2021, eq. 2.
    """
    _require_shapes(
        poses=(poses, POSES), targets=(targets, POSES), mask=(mask, "frames views joints")
    )
    return masked_mean(_norm(targets - poses, norm, dim=-1), mask)


def poses_in_views(
    poses: Float[Tensor, "frames views joints 3"], rotations: Float[Tensor, "frames views 4 4"]
) -> Float[Tensor, "frames views 3 targets joints"]:
    """Rotate each view's prediction to the axes of every view.

    Args:
        poses: Each view's prediction, in its own axes [m].
        rotations: Each view's rotation; translations are ignored.

    Returns:
        Each view's prediction in the axes of each target view [m].
    """
    _require_shapes(poses=(poses, POSES), rotations=(rotations, TRANSFORMS))
    frames, views, joints, _ = poses.shape
    turns = rotations[..., :3, :3]
    # Rows: coordinate and target view. One product per frame and view then gives all targets.
    from_world = turns.transpose(1, 2).reshape(frames, views * 3, 3)
    from_views = from_world @ turns.reshape(frames, views * 3, 3).mT
    from_views = from_views.view(frames, views * 3, views, 3).transpose(1, 2)
    return (from_views @ poses.mT).view(frames, views, 3, views, joints)


def projection_loss(
    in_views: Float[Tensor, "frames views 3 targets joints"],
    image: Float[Tensor, "frames views joints 2"],
    camera_from_root: Float[Tensor, "frames views 4 4"],
    mask: Bool[Tensor, "frames views views joints"],
    *,
    root: tuple[int, ...],
) -> Float[Tensor, ""]:
    """Project each view's prediction into every view and compare with the detections: L_proj.

    Args:
        in_views: The predictions in the axes of every view, from `poses_in_views` [m].
        image: Each view's detections, relative to the root in the image [focal lengths].
        camera_from_root: Each view's transform from the root.
        mask: Which joints count, for every source view and every target view.
        root: The joints whose mean is the root.

    Returns:
        The loss, in the L1 norm [focal lengths].

    Reference:
        Bouazizi et al., FG 2021, eq. 3; the root of a projection is the triangulated root.
    """
    _require_shapes(
        in_views=(in_views, IN_VIEWS),
        image=(image, "frames views joints 2"),
        camera_from_root=(camera_from_root, TRANSFORMS),
        mask=(mask, "frames views views joints"),
    )
    # Axes: frames, source view, coordinate, target view, joint.
    with torch.no_grad():
        positions = camera_from_root[..., :3, 3].mT[:, None, ..., None]
        nearest = NEAREST_SHARE * positions[:, :, 2:]
        across, depths = (in_views + positions).split([2, 1], dim=2)
        # A joint near a camera's plane has a meaningless projection and a huge gradient.
        reliable = depths > nearest
        inverse = torch.maximum(depths, nearest).reciprocal()
        projected = across * inverse
        deviations = projected - joints_of(projected, root, dim=-1).mean(dim=-1, keepdim=True)
        deviations -= image.permute(0, 3, 1, 2).contiguous()[:, None]
        slope = _slope_of_mean_l1(deviations, mask & reliable[:, :, 0])
        loss = deviations.mul_(slope).sum()
        # Back through the root, and through the division by the depth.
        of_root = slope.sum(dim=-1) / len(root)
        for joint in root:
            slope.select(-1, joint).sub_(of_root)
        slope *= inverse
        of_depth = -(slope * projected).sum(dim=2, keepdim=True) * reliable
        slope = torch.cat([slope, of_depth], dim=2)
    linear = torch.dot(in_views.flatten(), slope.flatten())
    # The loss, with this gradient.
    return loss + (linear - linear.detach())  # type: ignore[no-any-return]


def consistency_loss(
    poses: Float[Tensor, "frames views joints 3"],
    in_views: Float[Tensor, "frames views 3 targets joints"],
    usable: Bool[Tensor, "frames views"],
    *,
    targets: Float[Tensor, "frames views joints 3"] | None = None,
    labelled: Bool[Tensor, "frames joints"] | None = None,
    detach_targets: bool = True,
) -> Float[Tensor, ""]:
    """Compare each view's prediction with every other view's, rotated to its axes: L_con.

    Args:
        poses: Each view's prediction, in its own axes [m].
        in_views: The predictions in the axes of every view, from `poses_in_views` [m].
        usable: Which views' predictions count.
        targets: Poses in each view's axes to compare with instead of `poses` [m].
        labelled: Which joints of these targets are known.
        detach_targets: Whether the target view passes no gradient.

    Returns:
        The loss, in the L1 norm [m].

    Reference:
        Bouazizi et al., FG 2021, eq. 4.
    """
    _require_shapes(
        poses=(poses, POSES),
        in_views=(in_views, IN_VIEWS),
        usable=(usable, "frames views"),
        targets=(poses if targets is None else targets, POSES),
    )
    if labelled is not None:
        _require_shapes(poses=(poses, POSES), labelled=(labelled, "frames joints"))
    if targets is None:
        targets = poses.detach() if detach_targets else poses
    # Axes: frames, source view, coordinate, target view, joint.
    deviations = in_views - targets.permute(0, 3, 1, 2).contiguous()[:, None]
    others = ~torch.eye(poses.shape[1], dtype=torch.bool, device=poses.device)
    counted = (usable[:, :, None] & usable[:, None] & others)[..., None]
    if labelled is not None:
        counted = counted & labelled[:, None, None]
    slope = _slope_of_mean_l1(deviations, counted.expand_as(deviations[:, :, 0]))
    return (deviations * slope).sum()


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
        and these projections are triangulated. Points that are farther from the root than every
        camera count as not found (ours: early in training they make losses of 1e12).
    """
    _require_shapes(
        poses=(poses, POSES),
        camera_from_root=(camera_from_root, TRANSFORMS),
        usable=(usable, "frames views"),
    )
    positions = camera_from_root[..., :3, 3]
    in_camera = poses + positions[:, :, None]
    across, depths = in_camera.split([2, 1], dim=-1)
    visible = depths > 0
    image = across / torch.where(visible, depths, 1.0)
    counts = (usable[..., None] & visible[..., 0]).to(poses.dtype)
    output = triangulate_dlt(camera_from_root[..., :3, :], image, weights=counts)
    output = output - root_position(output, root)
    # A body is nearer to its root than the cameras that see it: what is not has left the scene.
    farthest = (positions.square().sum(dim=-1) * usable).amax(dim=-1)
    found = output.square().sum(dim=-1) <= farthest[:, None]
    output = torch.where(found[..., None], output, 0.0)
    targets = output.detach() if detach_targets else output
    deviations = _norm(rotated_to_views(targets, camera_from_root) - poses, norm, dim=-1)
    return masked_mean(deviations, usable[..., None] & found[:, None])


def rotation_part(transform: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 4 4"]:
    """Return the rotations of rigid transforms, without their translations."""
    return rigid_transform(transform[..., :3, :3], torch.zeros_like(transform[..., :3, 3]))


def _norm(deviation: Float[Tensor, "..."], norm: Norm, dim: int) -> Float[Tensor, "..."]:
    """Return the norms of vectors whose coordinates are along one axis."""
    require_kind("norm", norm, Norm)
    if norm is Norm.SQUARED_L2:
        return deviation.square().sum(dim)
    if norm is Norm.L1:
        return deviation.abs().sum(dim)
    size = deviation.abs()
    square, line = 0.5 * size.square(), HUBER_DELTA * (size - 0.5 * HUBER_DELTA)
    return torch.where(size < HUBER_DELTA, square, line).sum(dim)


def masked_mean(values: Tensor, mask: Tensor) -> Float[Tensor, ""]:
    """Average over the elements that count."""
    counted = torch.where(mask, values, 0.0).sum()
    count = mean_count(mask)
    return counted / torch.where(count > 0, count, 1)


@torch.no_grad()
def _slope_of_mean_l1(
    deviations: Float[Tensor, "frames views c targets joints"],
    mask: Bool[Tensor, "frames views targets joints"],
) -> Float[Tensor, "frames views c targets joints"]:
    """Return the gradient of the mean L1 norm of the vectors that count.

    The sum of its products with the deviations is the mean itself.
    """
    count = mean_count(mask)
    weights = mask.to(deviations.dtype) / torch.where(count > 0, count, 1)
    return deviations.sign() * weights[:, :, None]


def _require_shapes(**given: tuple[object, str]) -> None:
    """Refuse tensors of another shape, which PyTorch may broadcast, or of another dtype.

    An axis has one size in all tensors. Masks are boolean; the others are as the first one.
    """
    sizes: dict[str, int] = {}
    dtype = None
    for name, (tensor, text) in given.items():
        require_kind(name, tensor, Tensor)
        shape, found = tensor.shape, tensor.dtype  # type: ignore[attr-defined]
        dtype, axes = dtype or found, text.split()
        if len(shape) == len(axes):
            sizes = {**dict(zip(axes, shape, strict=True)), **sizes}
        expected = [int(one) if one.isdigit() else sizes.get(one, one) for one in axes]
        kind = torch.bool if name in MASKS else dtype
        if [*shape] != expected or found is not kind or not dtype.is_floating_point:
            wanted = kind if dtype.is_floating_point else "floating"
            raise ValueError(
                f"`{name}` must be {wanted} of shape ({', '.join(map(str, expected))}), got "
                f"{found} of shape {tuple(shape)}"
            )
