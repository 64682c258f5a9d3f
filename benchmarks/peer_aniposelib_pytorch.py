"""Triangulate the scenes of `robust.py` with aniposelib-pytorch, in an environment that has it.

Its functions for many points get what suits them best: pixels without a lens as normalized
coordinates, so that no distortion is inverted, and parts of a size that fits the cache: with the
default size, 2**22, it takes longer for 16 cameras.
"""

import sys
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import torch
from aniposelib.geometry import pack
from aniposelib.triangulation import triangulate_linear, triangulate_robust
from peer_aniposelib import answer_turns, camera_group
from torch import Tensor

PART = 2**19


def main() -> None:
    """Triangulate with the function that the scene's file names."""
    request, answer = sys.argv[1:]
    solve, points = solver(np.load(request))
    answer_turns(solve, lambda: points().numpy(), answer)


def solver(scene: Mapping[str, np.ndarray]) -> tuple[Callable[[], object], Callable[[], Tensor]]:
    """Return the call to time, and the call that gives the points."""
    torch.set_num_threads(int(scene["threads"]))
    pixels, focal_length = torch.from_numpy(scene["pixels"]), scene["intrinsics"][0, 0, 0]
    center = torch.from_numpy(scene["intrinsics"][:, None, :2, 2])
    rays = ((pixels.double() - center) / focal_length).to(pixels.dtype)
    rig = pack(camera_group(scene), dtype=pixels.dtype)
    linear = partial(triangulate_linear, rig, undistort=False)
    match str(scene["task"]):
        case "robust":
            tau = float(scene["threshold"] / focal_length)
            robust = partial(triangulate_robust, rig, rays, tau=tau, undistort=False)
            solve = partial(robust, max_elems=PART)
            return solve, lambda: solve().p3d
        case "linear":
            return partial(linear, rays), partial(linear, rays)
        case "linear, gradient":
            leaf = rays.clone().requires_grad_()
            return partial(gradient, linear, leaf), partial(linear, rays)
        case task:
            raise ValueError(f"expected robust, linear or linear, gradient, got {task}")


def gradient(linear: Callable[..., Tensor], rays: Tensor) -> Tensor:
    """Return the gradient of the sum of the points."""
    return torch.autograd.grad(linear(rays, return_grad=True).sum(), rays)[0]


if __name__ == "__main__":
    main()
