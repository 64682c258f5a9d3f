"""Laws of priors: derivatives and their bounds, SciPy's minimum, and what they are good for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares
from torch import Tensor
from torch.testing import assert_close

from multiview_geom import BoneLengths, SmoothMotion, bundle_adjust, ring_of_cameras
from multiview_geom.bundle_adjustment.camera_parameters import CameraParameter, FreeParameters
from multiview_geom.bundle_adjustment.priors import Prior, linearized
from tests.multiview_geom.bundle_adjustment.scenes import cloud, noise_like

FRAMES, JOINTS = 6, 4
BONES = [(0, 1), (1, 2), (1, 3)]
priors = st.sampled_from([BoneLengths(BONES, 0.05, 2.0), SmoothMotion(0.1, 2.0)])


def walk(seed: int, frames: int = FRAMES) -> Tensor:
    """Move a body of constant bones along an arc."""
    turns = torch.linspace(0.0, 0.1 * frames, frames, dtype=torch.float64)
    still = torch.zeros_like(turns)
    place = torch.stack([turns.cos(), turns.sin(), still], dim=-1)
    return 0.5 * place[:, None] + 0.5 * cloud(JOINTS, seed)


def flat_residuals(prior: Prior, known: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda flat: prior.residuals(flat.unflatten(0, known.shape), known).flatten()


@given(priors, st.integers(0, 2**16), st.integers(0, JOINTS - 1))
def test_a_point_that_is_not_known_does_not_count(prior: Prior, seed: int, joint: int) -> None:
    points = walk(seed) + 0.02 * noise_like(walk(seed), seed + 1)
    known = torch.ones(FRAMES, JOINTS, dtype=torch.bool)
    known[2, joint] = False
    elsewhere = points.clone()
    elsewhere[2, joint] = 7.0
    assert_close(prior.residuals(elsewhere, known), prior.residuals(points, known))
    near = linearized(flat_residuals(prior, known), points.flatten(0, 1))
    assert not near.slope.unflatten(1, known.shape)[:, 2, joint].any()


@given(priors, st.integers(0, 2**16))
def test_products_are_those_of_the_jacobian(prior: Prior, seed: int) -> None:
    points = walk(seed) + 0.02 * noise_like(walk(seed), seed + 1)
    residuals = flat_residuals(prior, torch.ones(FRAMES, JOINTS, dtype=torch.bool))
    flat = points.flatten(0, 1)
    assert torch.autograd.gradcheck(residuals, flat.clone().requires_grad_())
    J = torch.autograd.functional.jacobian(residuals, flat).transpose(1, 2).flatten(1)
    near = linearized(residuals, flat)
    assert_close(near.slope.flatten(), J.mT @ residuals(flat))
    vectors = noise_like(flat.new_empty(5, 3, len(flat)), seed)
    assert_close(near.times(vectors).flatten(1), vectors.flatten(1) @ J.mT @ J)


@pytest.mark.parametrize("prior", [BoneLengths(BONES, 0.05, 2.0), SmoothMotion(0.05, 2.0)])
def test_scipy_finds_the_same_minimum(prior: Prior) -> None:
    rig, world = ring_of_cameras(3, 4.0, 1.0, dtype=torch.float64), walk(1)
    pixels = rig.project(world.flatten(0, 1)).pixels.unflatten(1, world.shape[:2]).movedim(0, 1)
    pixels = pixels + 3.0 * noise_like(pixels, 2)
    found = bundle_adjust(rig, pixels, priors=[prior], steps=50)
    assert found.converged
    known = torch.ones(world.shape[:2], dtype=torch.bool)
    cost = found.errors.square().sum() + prior.residuals(found.points, known).square().sum()
    poses = FreeParameters(frozenset({CameraParameter.EXTRINSICS}), ())

    def off(x: Tensor) -> Tensor:
        cameras = poses.moved(rig, x[: 6 * rig.views].reshape(rig.views, 6))
        points = x[6 * rig.views :].reshape_as(world)
        seen = cameras.project(points.flatten(0, 1)).pixels.unflatten(1, world.shape[:2])
        return torch.cat(
            [(seen.movedim(0, 1) - pixels).flatten(), prior.residuals(points, known).flatten()]
        )

    start = torch.cat([torch.zeros(6 * rig.views).double(), found.points.flatten()])
    least = least_squares(
        lambda x: off(torch.from_numpy(x)).numpy(), start.numpy(), x_scale="jac", xtol=1e-12,
        jac=lambda x: torch.autograd.functional.jacobian(off, torch.from_numpy(x)).numpy(),
    )  # fmt: skip
    assert float(cost) <= 2 * least.cost * (1 + 1e-4)


def test_what_is_known_improves_noisy_points() -> None:
    rig, world = ring_of_cameras(2, 4.0, 1.0, dtype=torch.float64), walk(3, frames=20)
    pixels = rig.project(world.flatten(0, 1)).pixels.unflatten(1, world.shape[:2]).movedim(0, 1)
    pixels = pixels + 5.0 * noise_like(pixels, 4)
    errors = {}
    for name, known in (
        ("none", []),
        ("bones", [BoneLengths(BONES, 0.005, 5.0)]),
        ("motion", [SmoothMotion(0.01, 5.0)]),
    ):
        found = bundle_adjust(rig, pixels, free={CameraParameter.FOCAL}, priors=known, steps=20)
        errors[name] = float((found.points - world).norm(dim=-1).square().mean().sqrt())
    assert errors["bones"] < 0.95 * errors["none"]
    assert errors["motion"] < 0.7 * errors["none"]


@pytest.mark.rejects
def test_what_a_prior_cannot_join_is_refused() -> None:
    rig = ring_of_cameras(3, 4.0, 1.0, dtype=torch.float64)
    pixels = rig.project(cloud(8, 0)).pixels
    with pytest.raises(ValueError, match="two points from 0 to 7, got \\(0, 8\\)"):
        bundle_adjust(rig, pixels, priors=[BoneLengths([(0, 8)])])
    with pytest.raises(ValueError, match="in the order of time, got 0 frame axes"):
        bundle_adjust(rig, pixels, priors=[SmoothMotion(0.1)])
    with pytest.raises(ValueError, match="`deviation` must be"):
        BoneLengths([(0, 1)], deviation=0.0)


@pytest.mark.rejects
@pytest.mark.parametrize(
    "bones",
    [[("left_hip", "left_knee")], ["ab"], [0, 1], [(0.0, 1.0)], [(0, 1, 2)], "01", iter(BONES)],
)
def test_bones_that_are_no_pairs_of_numbers_are_refused(bones: Any) -> None:
    with pytest.raises(ValueError, match=r"`bones` must be .*pairs of numbers of points.* got "):
        BoneLengths(bones)


@pytest.mark.rejects
def test_bones_may_be_an_array_and_may_be_none() -> None:
    points, known = walk(1), torch.ones(FRAMES, JOINTS, dtype=torch.bool)
    expected = BoneLengths(BONES).residuals(points, known)
    assert_close(BoneLengths(np.array(BONES)).residuals(points, known), expected)  # type: ignore[arg-type]
    assert BoneLengths([]).residuals(points, known).shape == (FRAMES, 0)
