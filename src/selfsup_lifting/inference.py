"""A checkpoint and one view's 2D tracks to 3D tracks."""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.triangulate import normalised_image

# Poses lifted at once: bounds the memory of long tracks.
CHUNK = 65_536


@torch.no_grad()
def lift(
    lifter: Lifter,
    cameras: Cameras,
    keypoints: Float[Tensor, "frames views joints 2"],
    confidence: Float[Tensor, "frames views joints"] | None = None,
) -> Float[Tensor, "frames views joints 3"]:
    """Lift each view's 2D track by itself.

    Args:
        lifter: A trained network in evaluation mode.
        cameras: The views' calibration; of the extrinsics nothing is used.
        keypoints: What each view saw, lens included [px]; NaN where missing.
        confidence: The detector's trust in each; full trust by default.

    Returns:
        The joints relative to the root, in each camera's axes [m]; NaN where a view saw nothing
        of a frame.
    """
    device = next(lifter.parameters()).device
    image = normalised_image(cameras, keypoints).float().flatten(0, 1)
    seen = image.isfinite().all(dim=-1)
    trust = seen.float() if confidence is None else confidence.float().flatten(0, 1)
    parts = zip(*(numbers.split(CHUNK) for numbers in (image, seen, trust)), strict=True)
    poses = torch.cat([lifter(*(numbers.to(device) for numbers in part)).cpu() for part in parts])
    poses = torch.where(seen.any(dim=-1)[:, None, None], poses, torch.nan)
    return poses.reshape(*keypoints.shape[:-1], 3)


def placed_in_camera(
    poses: Float[Tensor, "*batch joints 3"], image: Float[Tensor, "*batch joints 2"]
) -> Float[Tensor, "*batch joints 3"]:
    """Move each pose to where it fits its image best.

    Finds the translation t that minimises the sum over joints of |(X + t) - (Z + t_z) (u, v, 1)|^2,
    which is linear in t; the size of the pose gives the distance.

    Args:
        poses: Joints relative to the root, in the camera's axes [m].
        image: Where the camera saw them [focal lengths]; NaN where missing.

    Returns:
        The poses in the camera's frame [m]; NaN where fewer than two joints were seen.
    """
    seen = image.isfinite().all(dim=-1)
    place = torch.where(seen[..., None], image, 0.0)
    share = seen[..., None, None].to(poses.dtype)
    upright = torch.eye(2).to(poses).expand(*place.shape[:-1], 2, 2)
    equations = share * torch.cat([upright, -place[..., None]], dim=-1)
    offsets = -(equations @ poses[..., None])
    normal = (equations.mT @ equations).sum(dim=-3)
    enough = seen.sum(dim=-1) >= 2  # noqa: PLR2004 - two joints give four equations for three
    normal = torch.where(enough[..., None, None], normal, torch.eye(3).to(normal))
    right = (equations.mT @ offsets).sum(dim=-3)
    translation = torch.linalg.solve(normal, right)[..., 0]
    return torch.where(enough[..., None, None], poses + translation[..., None, :], torch.nan)
