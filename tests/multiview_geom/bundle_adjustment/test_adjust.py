"""Laws of bundle adjustment: exact data, the same minimum as SciPy's, covariance and gauge."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import least_squares
from torch import Tensor

from multiview_geom import (
    CameraParameter,
    Cameras,
    CauchyLoss,
    HuberLoss,
    LinearLoss,
    SmoothMotion,
    align_rigs,
    bundle_adjust,
    refine_points,
    ring_of_cameras,
)
from multiview_geom.bundle_adjustment.camera_parameters import FreeParameters
from multiview_geom.triangulation.residual_losses import Loss
from tests.multiview_geom.bundle_adjustment.scenes import (
    cloud,
    deviation,
    moved,
    noise_like,
    with_lens,
)
from tests.multiview_geom.strategies import Rig, Ring, Staircase, numbers
from tests.multiview_geom.tolerances import assert_close
from tests.profiles import at_most

POSES, FOCAL = CameraParameter.EXTRINSICS, CameraParameter.FOCAL
PRINCIPAL, LENS = CameraParameter.PRINCIPAL_POINT, CameraParameter.DISTORTION
EXACT = 1e-6
SUBSETS = [{POSES}, {FOCAL}, {POSES, FOCAL}, {PRINCIPAL, LENS}, {POSES, FOCAL, PRINCIPAL, LENS}]


# Two cameras whose axes meet do not determine focal lengths.
FOUR = st.builds(Ring, views=st.integers(4, 5), radius=numbers(3, 5), height=numbers(0.5, 2))
FOUR |= st.just(Staircase())


@at_most(8)
@given(FOUR, st.sampled_from(SUBSETS), st.booleans(), st.integers(0, 2**16))
def test_exact_pixels_give_the_true_parameters(
    rig: Rig,
    free: set[CameraParameter],
    fisheye: bool,  # noqa: FBT001 - drawn
    seed: int,
) -> None:
    truth = with_lens(rig.cameras(), fisheye=fisheye)
    pixels = truth.project(cloud(60, seed)).pixels
    found = bundle_adjust(_away(truth, free, seed), pixels, free=free, coefficients=(0, 1))
    assert found.converged
    assert deviation(found.cameras, truth) < EXACT


@pytest.mark.parametrize(
    ("free", "loss"),
    [({POSES, FOCAL}, HuberLoss(3.0)), ({POSES}, CauchyLoss(9.0)), ({FOCAL, LENS}, LinearLoss())],
)
def test_scipy_finds_the_same_minimum(free: set[CameraParameter], loss: Loss) -> None:
    truth, world = with_lens(ring_of_cameras(3, 4.0, 1.0, dtype=torch.float64)), cloud(12, 1)
    pixels = truth.project(world).pixels
    pixels = pixels + 2.0 * noise_like(pixels, 2)
    pixels[0, :2] += 20.0
    found = bundle_adjust(truth, pixels, points=world, free=free, coefficients=(0,), loss=loss)
    expected, cameras = _by_scipy(truth, world, pixels, free, loss)
    assert float(loss(found.errors.square()).sum()) == pytest.approx(expected, rel=1e-7)
    assert deviation(found.cameras, cameras) < 1e-4


@pytest.mark.slow
def test_the_covariance_is_that_of_many_draws() -> None:
    truth = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64)
    points = cloud(40, 4)
    exact = truth.project(points).pixels
    free = {POSES, FOCAL}
    centers, scales, expected = [], [], []
    for seed in range(40):
        pixels = exact + 2.0 * noise_like(exact, seed)
        found = bundle_adjust(truth, pixels, points=points, free=free)
        centers.append(found.cameras.centers)
        scales.append(found.cameras.intrinsics[:, 0, 0].log())
        expected.append(found.covariance.diagonal(dim1=1, dim2=2))
    mean = torch.stack(expected).mean(dim=0).sqrt()
    ratio = torch.stack(centers).std(dim=0) / mean[:, 3:6]
    assert ratio.min() > 0.75
    assert ratio.max() < 1.3
    assert_close(torch.stack(scales).std(dim=0) / mean[:, 6], torch.ones(4).double(), atol=0.25)


def test_the_world_is_where_the_cameras_moved_least() -> None:
    truth = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64)
    start = moved(truth, 5)
    found = bundle_adjust(start, truth.project(cloud(30, 5)).pixels)
    again = align_rigs(found.cameras, start)
    assert_close(again.rotation, torch.eye(3).double(), atol=1e-9)
    assert_close(again.scale, torch.tensor(1.0).double(), atol=1e-9)


def test_a_robust_loss_withstands_outliers() -> None:
    truth = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64)
    pixels = truth.project(cloud(200, 6)).pixels
    pixels = pixels + noise_like(pixels, 6)
    pixels[0, ::10] += 80.0
    start = moved(truth, 6, 0.3)
    plain, robust = (
        deviation(bundle_adjust(start, pixels, loss=loss).cameras, truth)
        for loss in (LinearLoss(), CauchyLoss(3.0))
    )
    assert robust < plain / 5
    assert robust < 0.01


def test_missing_detections_are_removed_detections() -> None:
    truth = ring_of_cameras(4, 4.0, 1.0, dtype=torch.float64)
    pixels = truth.project(cloud(30, 7)).pixels
    pixels = pixels + noise_like(pixels, 7)
    start = moved(truth, 7)
    spoiled = torch.cat([pixels, pixels[:, :2]], dim=1)
    spoiled[1:, 30] = torch.nan  # seen once
    spoiled[:, 31] += 500.0  # of weight zero
    weights = torch.ones_like(spoiled[..., 0])
    weights[:, 31] = 0.0
    points = cloud(30, 7)[[*range(30), 0, 1]]
    found = bundle_adjust(start, spoiled, points=points, weights=weights)
    expected = bundle_adjust(start, pixels, points=points[:30])
    assert_close(found.cameras.projections, expected.cameras.projections, atol=1e-6)
    assert_close(found.points[:30], expected.points, atol=1e-7)
    assert found.points[30:].isnan().all()
    assert found.errors[:, 30:].isnan().all()


def test_frames_share_the_cameras_and_the_dtype_is_kept() -> None:
    truth = ring_of_cameras(3, 4.0, 1.0, dtype=torch.float64)
    pixels = truth.project(cloud(24, 8)).pixels
    start = moved(truth, 8)
    flat = bundle_adjust(start, pixels)
    frames = bundle_adjust(
        start.to(torch.float32), pixels.unflatten(1, (4, 6)).movedim(1, 0).float()
    )
    assert frames.points.shape == (4, 6, 3)
    assert frames.errors.shape == (4, 3, 6)
    assert frames.points.dtype == frames.cameras.intrinsics.dtype == torch.float32
    assert_close(frames.points.flatten(0, 1).double(), flat.points, atol=1e-5)


@pytest.mark.rejects
def test_what_cannot_be_adjusted_is_refused() -> None:
    rig = ring_of_cameras(3, 4.0, 1.0, dtype=torch.float64)
    pixels = rig.project(cloud(9, 9)).pixels
    with pytest.raises(ValueError, match="`free` must have one or more `CameraParameter`"):
        bundle_adjust(rig, pixels, free=())
    with pytest.raises(ValueError, match="`steps` must be 0 or more, got -1"):
        bundle_adjust(rig, pixels, steps=-1)
    with pytest.raises(ValueError, match="start from coefficients of zero"):
        bundle_adjust(rig, pixels, free={LENS})
    with pytest.raises(ValueError, match="different numbers from 0 to 13"):
        bundle_adjust(with_lens(rig), pixels, free={LENS}, coefficients=(14,))
    unknown = rig.camera_from_world.clone()
    unknown[1] = torch.nan
    with pytest.raises(ValueError, match="got NaN in cam_2"):
        bundle_adjust(replace(rig, camera_from_world=unknown), pixels)
    blind = pixels.clone()
    blind[2] = torch.nan
    with pytest.raises(ValueError, match="got none in cam_3"):
        bundle_adjust(rig, blind)
    batch = Cameras(rig.intrinsics[None], rig.camera_from_world[None])
    with pytest.raises(ValueError, match=r"all frames share them, got \(1,\)"):
        bundle_adjust(batch, pixels)


def _away(truth: Cameras, free: set[CameraParameter], seed: int) -> Cameras:
    """Change what is free."""
    if POSES in free:
        truth = moved(truth, seed, 0.3)
    K = truth.intrinsics.clone()
    if FOCAL in free:
        K[:, :2, :2] *= 1.02
    if PRINCIPAL in free:
        K[:, :2, 2] += 3.0
    lens = truth.distortion
    if LENS in free and lens is not None:
        lens = lens.clone()
        lens[:, :2] *= 0.8
    return replace(truth, intrinsics=K, distortion=lens)


def _by_scipy(
    start: Cameras, points: Tensor, pixels: Tensor, free: set[CameraParameter], loss: Loss
) -> tuple[float, Cameras]:
    """Minimize with a dense Jacobian; SciPy's own losses act on each coordinate alone."""
    parameters = FreeParameters(frozenset(free), (0,))
    size = start.views * len(parameters.names)

    def rig(x: Tensor) -> Cameras:
        return parameters.moved(start, x[:size].reshape(start.views, -1))

    def residuals(x: Tensor) -> Tensor:
        off = rig(x).project(x[size:].reshape(-1, 3)).pixels - pixels
        squared = off.square().sum(dim=-1, keepdim=True)
        return ((loss(squared) / squared).sqrt() * off).flatten()

    def by_torch(x: np.ndarray) -> np.ndarray:
        jacobian = torch.autograd.functional.jacobian(
            residuals, torch.from_numpy(x), vectorize=True
        )
        return jacobian.numpy()

    found = least_squares(
        lambda x: residuals(torch.from_numpy(x)).numpy(),
        np.concatenate([np.zeros(size), points.numpy().ravel()]),
        jac=by_torch, x_scale="jac", xtol=1e-13, ftol=1e-13,
    )  # fmt: skip
    return 2 * found.cost, rig(torch.from_numpy(found.x))


@pytest.mark.rejects
def test_a_loss_is_no_name() -> None:
    ring = ring_of_cameras(2, radius=4.0, height=1.0)
    with pytest.raises(ValueError, match="`loss` must be a loss, such as HuberLoss"):
        bundle_adjust(ring, torch.zeros(2, 5, 2), loss="huber")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`loss` must be a loss, .* got <class .*HuberLoss'>"):
        refine_points(ring, torch.zeros(5, 3), torch.zeros(2, 5, 2), loss=HuberLoss)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"`priors` must be a sequence of priors.* got \[<class"):
        bundle_adjust(ring, torch.zeros(2, 5, 2), priors=[SmoothMotion])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="`delta` must be a number, got '1'"):
        HuberLoss("1")  # type: ignore[arg-type]
