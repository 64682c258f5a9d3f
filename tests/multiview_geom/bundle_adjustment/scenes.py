"""Rigs that see a cloud of points, moved rigs to start from, and distances between rigs."""

from dataclasses import replace

import torch
from torch import Tensor

from multiview_geom import CameraParameter, Cameras, Lens, align_rigs, transform_cameras
from multiview_geom.bundle_adjustment.camera_parameters import FreeParameters

TERMS = (-0.1, 0.03, 1e-3, -2e-3, 0.01, 0.01, 0.002, 0.0, 1e-3, 0.0, -1e-3, 0.0, 0.01, -0.02)
FISHEYE = (0.05, -0.01, 0.002, -0.0003)
POSE_STEP = (0.02, 0.02, 0.02, 0.05, 0.05, 0.05)
"""Standard deviations of a moved camera [rad, m]."""


def cloud(count: int, seed: int, reach: float = 0.8) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return reach * (2 * torch.rand(count, 3, generator=generator, dtype=torch.float64) - 1)


def noise_like(pixels: Tensor, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(pixels.shape, generator=generator, dtype=torch.float64)


def with_lens(cameras: Cameras, *, fisheye: bool = False) -> Cameras:
    """Give every camera all terms of OpenCV's lens, or the last one a fisheye."""
    terms = torch.tensor(TERMS, dtype=torch.float64).repeat(cameras.views, 1)
    if not fisheye:
        return replace(cameras, distortion=terms)
    terms[-1, :4] = torch.tensor(FISHEYE, dtype=torch.float64)
    lens = (Lens.OPENCV,) * (cameras.views - 1) + (Lens.FISHEYE,)
    return replace(cameras, distortion=terms, lens=lens)


def moved(cameras: Cameras, seed: int, size: float = 1.0) -> Cameras:
    step = size * noise_like(cameras.intrinsics[:, 0].repeat(1, 2), seed)
    poses = FreeParameters(frozenset({CameraParameter.EXTRINSICS}), ())
    return poses.moved(cameras, step * torch.tensor(POSE_STEP, dtype=torch.float64))


def aligned(found: Cameras, truth: Cameras) -> Cameras:
    return transform_cameras(found, align_rigs(found, truth))


def deviation(found: Cameras, truth: Cameras) -> float:
    """Return the largest difference of two rigs, up to a similarity of the world."""
    one = aligned(found, truth)
    tensors = [(one.camera_from_world, truth.camera_from_world)]
    tensors.append((one.intrinsics / 1000, truth.intrinsics / 1000))
    if truth.distortion is not None and one.distortion is not None:
        tensors.append((one.distortion, truth.distortion))
    return max(float((a - b).abs().max()) for a, b in tensors)
