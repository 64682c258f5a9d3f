"""The constants of a rig that linear triangulation is made of.

The least ‖A X‖ / ‖X‖ is invariant to the scale of the rig, to the place of the origin (the length
of X is taken in the caller's frame) and to where in the image the pixels are counted from. So all
three are chosen for accuracy, and no derivative flows through the choice.
"""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom._vectors import adjugate, determinant

# How much B is lifted above its round-off, relative to its trace, to stay definite.
LIFT = 4

# How much the point nearest to all optical axes is drawn to the world's origin, relative to
# the trace: parallel axes are near to each other everywhere.
ORIGIN_PULL = 1e-5

# The columns of the equations whose products are the entries of B, b and d, and d in the world.
LEFT, RIGHT = (0, 1, 2, 1, 2, 0, 0, 1, 2, 3, 4), (0, 1, 2, 2, 0, 1, 3, 3, 3, 3, 4)


class Rig(NamedTuple):
    """Constants of a rig, or of one rig per frame: `r` is 1 or the number of frames.

    A view whose numbers are not finite is not calibrated, and has equations of zero.
    """

    calibrated: Float[Tensor, "views r 1"]
    scale: Float[Tensor, "r 1 1 1"]
    centers: Float[Tensor, "2 views r 1"]
    origin: Float[Tensor, "3 r 1"]
    equations: Float[Tensor, "equations 4 r"]
    moments: Float[Tensor, "11 terms r"]
    constants: Float[Tensor, "11 views r"]


def prepare_rig(projections: Float[Tensor, "r views 3 4"]) -> Rig:
    """Find the constants of a rig: frame and scale chosen, equations and moments in them."""
    finite = projections.isfinite().all(dim=3).all(dim=2)[..., None, None]
    projections, calibrated = torch.where(finite, projections, 0.0), finite.to(projections.dtype)
    centers, origin, scale = _chosen_frame(projections.detach())
    across, axis = projections[:, :, :2], projections[:, :, 2:]
    equations = scale * torch.cat([axis, centers * axis - across], dim=2)
    shifted = equations[..., 3:] + equations[..., :3] @ origin[:, None]
    whole = torch.cat([equations[..., :3], shifted, equations[..., 3:]], dim=3)
    moments, constants = _moments(whole)
    return Rig(
        calibrated=calibrated[..., 0].transpose(0, 1),
        scale=scale,
        centers=centers.permute(2, 1, 0, 3),
        origin=origin.transpose(0, 1),
        equations=whole[..., :4].permute(2, 1, 3, 0).flatten(0, 1),
        moments=moments,
        constants=constants,
    )


def reciprocal(determinant: Tensor) -> Tensor:
    """Invert positive numbers; zero for the others, which round-off made of small ones."""
    positive = determinant.clamp(min=torch.finfo(determinant.dtype).tiny)
    return determinant.sign().clamp_(min=0).div_(positive)


def _moments(
    equations: Float[Tensor, "r views 3 5"],
) -> tuple[Float[Tensor, "11 terms r"], Float[Tensor, "11 views r"]]:
    """Expand (u p3 - p1)(u p3 - p1)ᵀ + (v p3 - p2)(v p3 - p2)ᵀ in powers of u and v.

    The fifth column is the fourth in the caller's frame. Rows: the entries of B, b, and d, and d
    in the caller's frame; the terms of u² + v², u and v, and what neither multiplies.
    """
    columns = equations.unbind(dim=3)
    left, right = (torch.stack([columns[k] for k in which]) for which in (LEFT, RIGHT))
    products = left * right
    linear = left[..., :1] * right[..., 1:] + left[..., 1:] * right[..., :1]
    constant = products[..., 1:].sum(dim=3, keepdim=True)
    powers = torch.cat([products[..., :1], linear, constant], dim=3)
    lift = LIFT * torch.finfo(powers.dtype).eps * powers[:3].detach().sum(dim=0)
    powers = torch.cat([powers[:3] + lift, powers[3:]]).permute(0, 3, 2, 1)
    return powers[:, :3].flatten(1, 2), powers[:, 3]


def _chosen_frame(
    projections: Float[Tensor, "r views 3 4"],
) -> tuple[Float[Tensor, "r views 2 1"], Float[Tensor, "r 3 1"], Float[Tensor, "r 1 1 1"]]:
    """Choose image centres on the optical axes, the origin nearest to them, and unit scale."""
    # In a size whose squares neither over- nor underflow.
    size = projections.abs().amax(dim=(1, 2, 3), keepdim=True)
    size = torch.where(size > 0, size, 1.0)
    projections = projections / size
    across, axis = projections[:, :, :2], projections[:, :, 2:]
    gram = projections[..., :3] @ axis[..., :3].mT
    centers = gram[:, :, :2] / gram[:, :, 2:].clamp(min=torch.finfo(gram.dtype).tiny)
    offsets = (across - centers * axis).flatten(1, 2)
    product = offsets.mT @ offsets
    trace = product.diagonal(dim1=1, dim2=2)[:, :3].sum(dim=1)[:, None, None]
    equations = 3 * offsets.shape[1]
    scale_squared = torch.where(trace > 0, equations / trace, 1.0)
    # The origin that is nearest to all axes.
    product = scale_squared * product
    pull = ORIGIN_PULL * equations * torch.eye(3, dtype=trace.dtype, device=trace.device)
    stretch = product[:, :3, :3] + pull
    turned = adjugate(stretch) @ product[:, :3, 3:]
    origin = turned * -reciprocal(determinant(stretch))[:, None, None]
    return centers, origin, scale_squared.sqrt()[..., None] / size
