"""Lift the 2D tracks of single views to 3D."""

import torch
from einops import einsum, rearrange
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.triangulate import normalized_image

# Number of poses lifted at once: bounds the memory for long tracks.
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
        cameras: The views' calibration; the extrinsics are not used.
        keypoints: Detections, with lens distortion [px]; NaN where missing.
        confidence: The detector's confidence; 1 by default.

    Returns:
        The joints relative to the root, in each camera's axes [m]; NaN for a frame without any
        detection in the view.

    Example:
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> from selfsup_lifting.config import LifterSettings
        >>> recording = read_recordings(["synthetic"], ReadSettings())[0].select_views(["cam_2"])
        >>> untrained = Lifter(recording.skeleton, LifterSettings(width=8, blocks=1)).eval()
        >>> lift(untrained, recording.cameras, recording.keypoints).shape
        torch.Size([240, 1, 17, 3])
    """
    device = next(lifter.parameters()).device
    image = normalized_image(cameras, keypoints).float()
    image = rearrange(image, "frame view joint uv -> (frame view) joint uv")
    seen = image.isfinite().all(dim=-1)
    trust = seen.float() if confidence is None else confidence.float().flatten(0, 1)
    parts = zip(*(tensor.split(CHUNK) for tensor in (image, seen, trust)), strict=True)
    poses = torch.cat([lifter(*(tensor.to(device) for tensor in part)).cpu() for part in parts])
    poses = torch.where(seen.any(dim=-1)[:, None, None], poses, torch.nan)
    return rearrange(poses, "(frame view) joint xyz -> frame view joint xyz", frame=len(keypoints))


def placed_in_camera(
    poses: Float[Tensor, "*batch joints 3"], image: Float[Tensor, "*batch joints 2"]
) -> Float[Tensor, "*batch joints 3"]:
    """Translate each pose to where it fits its image best.

    Finds the translation t that minimizes the sum over joints of |(X + t) - (Z + t_z) (u, v, 1)|^2,
    which is linear in t; the size of the pose determines the distance.

    Args:
        poses: Joints relative to the root, in the camera's axes [m].
        image: Detections in normalized image coordinates [focal lengths]; NaN where missing.

    Returns:
        The poses in camera coordinates [m]; NaN where fewer than two joints were detected.
    """
    seen = image.isfinite().all(dim=-1)
    target = torch.where(seen[..., None], image, 0.0)
    weights = seen[..., None, None].to(poses.dtype)
    identity = torch.eye(2).to(poses).expand(*target.shape[:-1], 2, 2)
    equations = weights * torch.cat([identity, -target[..., None]], dim=-1)
    offsets = -einsum(equations, poses, "... joint row i, ... joint i -> ... joint row")
    normal = einsum(equations, equations, "... joint row i, ... joint row j -> ... i j")
    enough = seen.sum(dim=-1) >= 2  # noqa: PLR2004 - two joints give four equations for three
    normal = torch.where(enough[..., None, None], normal, torch.eye(3).to(normal))
    right = einsum(equations, offsets, "... joint row i, ... joint row -> ... i")
    translation = torch.linalg.solve(normal, right)
    return torch.where(enough[..., None, None], poses + translation[..., None, :], torch.nan)
