"""A checkpoint and one view's 2D tracks to 3D tracks."""

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.dataset import normalised_image
from selfsup_lifting.lifter import Lifter

# Poses lifted at once: bounds the memory of long tracks.
CHUNK = 65_536


@torch.no_grad()
def lift(
    lifter: Lifter,
    cameras: Cameras,
    keypoints: Float[Tensor, "frames views joints 2"],
) -> Float[Tensor, "frames views joints 3"]:
    """Lift each view's 2D track by itself.

    Args:
        lifter: A trained network in evaluation mode.
        cameras: The views' calibration; of the extrinsics nothing is used.
        keypoints: What each view saw, lens included [px]; NaN where missing.

    Returns:
        The joints relative to the root, in each camera's axes [m]; NaN where a view saw nothing
        of a frame.
    """
    device = next(lifter.parameters()).device
    image = normalised_image(cameras, keypoints).float().flatten(0, 1)
    seen = image.isfinite().all(dim=-1)
    poses = torch.cat(
        [
            lifter(part.to(device), there.to(device)).cpu()
            for part, there in zip(image.split(CHUNK), seen.split(CHUNK), strict=True)
        ]
    )
    poses = torch.where(seen.any(dim=-1)[:, None, None], poses, torch.nan)
    return poses.reshape(*keypoints.shape[:-1], 3)
