"""Laws of the pose of a camera from known points."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from multiview_geom import project_points, rigid_transform, rotation_from_vector, solve_pnp
from tests.multiview_geom.strategies import Pose, Rig, Ring, poses, rigs
from tests.multiview_geom.tolerances import assert_close

EXACT = 1e-6
"""Round-off of the pixels, which four points in a narrow triangle enlarge."""
FLATNESS = {"box": 1.0, "near a plane": 0.02, "plane": 0.0}
every_shape = pytest.mark.parametrize("shape", FLATNESS)


@every_shape
@given(rig=rigs, pose=poses, seed=st.integers(0, 2**16), count=st.integers(6, 20))
def test_exact_pixels_give_the_true_pose(
    shape: str, rig: Rig, pose: Pose, seed: int, count: int
) -> None:
    cameras = rig.cameras()
    points = cloud(shape, seed, count) @ pose.rotation().mT
    pixels = project_points(cameras.projections, points)
    assert_close(
        solve_pnp(cameras.intrinsics, points, pixels), cameras.camera_from_world, atol=EXACT
    )


@every_shape
@given(seed=st.integers(0, 2**16))
def test_no_small_move_lowers_the_cost(shape: str, seed: int) -> None:
    K, points, pixels, weights = noisy(shape, seed)
    pose = solve_pnp(K, points, pixels, weights=weights)
    generator = torch.Generator().manual_seed(seed)
    turn, shift = 1e-4 * torch.randn(2, 200, 3, generator=generator, dtype=torch.float64)
    nearby = rigid_transform(rotation_from_vector(turn), shift) @ pose
    least = cost(K, pose, points, pixels, weights)
    assert (cost(K, nearby, points, pixels, weights) >= least * (1 - 1e-9)).all()


@every_shape
def test_its_cost_is_at_most_that_of_opencv(shape: str) -> None:
    cv2 = pytest.importorskip("cv2")
    for seed in range(40):
        K, points, pixels, _ = noisy(shape, seed)
        args = (points.numpy(), pixels.numpy(), K.numpy(), None)
        _, turn, shift = cv2.solvePnP(*args, flags=cv2.SOLVEPNP_SQPNP)
        turn, shift = (torch.from_numpy(v[:, 0]) for v in cv2.solvePnPRefineLM(*args, turn, shift))
        theirs = rigid_transform(rotation_from_vector(turn), shift)
        ones = torch.ones(len(points)).double()
        ours = cost(K, solve_pnp(K, points, pixels), points, pixels, ones)
        assert ours <= cost(K, theirs, points, pixels, ones) * (1 + 1e-6)


@pytest.mark.parametrize("missing", ["pixel", "point", "weight"])
def test_a_missing_detection_is_a_removed_one(missing: str) -> None:
    K, points, pixels, weights = noisy("box", 3)
    kept = torch.arange(len(points)) % 3 != 0
    spoilt = {"point": points, "pixel": pixels, "weight": weights}[missing]
    spoilt[~kept] = 0.0 if missing == "weight" else torch.nan
    found = solve_pnp(K, points, pixels, weights=weights)
    expected = solve_pnp(K, points[kept], pixels[kept], weights=weights[kept])
    assert_close(found, expected, atol=1e-9)


def test_the_scale_of_weights_and_of_the_world() -> None:
    K, points, pixels, weights = noisy("box", 4)
    pose = solve_pnp(K, points, pixels, weights=weights)
    assert_close(solve_pnp(K, points, pixels, weights=1e-9 * weights), pose, atol=1e-8)
    millimeters = solve_pnp(K, 1000 * points, pixels, weights=weights)
    assert_close(millimeters[:3, :3], pose[:3, :3], atol=1e-8)
    assert_close(millimeters[:3, 3], 1000 * pose[:3, 3], atol=1e-5)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_too_few_points_have_no_pose(count: int) -> None:
    K, points, pixels, _ = noisy("box", 0)
    assert solve_pnp(K, points[:count], pixels[:count]).isnan().all()


def test_points_on_a_line_and_one_point_have_no_pose() -> None:
    K, points, pixels, _ = noisy("box", 0)
    for length in (0.0, 1.0):
        line = length * points[:, :1] * torch.tensor([1.0, 0.3, 0.2]) + 1.0
        assert solve_pnp(K, line, pixels).isnan().all()


def test_a_degenerate_element_leaves_its_neighbours_alone() -> None:
    K, points, pixels, _ = noisy("box", 1)
    broken = torch.full_like(pixels, torch.nan)
    found = solve_pnp(K, points, torch.stack([broken, pixels]))
    assert found[0].isnan().all()
    assert_close(found[1], solve_pnp(K, points, pixels), atol=1e-9)
    assert solve_pnp(torch.zeros(3, 3).double(), points, pixels).isnan().all()
    assert solve_pnp(K.expand(0, 3, 3), points, pixels).shape == (0, 4, 4)


@pytest.mark.parametrize("giant", [1e160, 1e300])
def test_points_beyond_the_dtype_leave_their_neighbours_alone(giant: float) -> None:
    K, points, pixels, _ = noisy("box", 3)
    found = solve_pnp(K, torch.stack([points, giant * points]), pixels)
    assert_close(found[0], solve_pnp(K, points, pixels), atol=EXACT)
    assert found[1].isnan().all()


@pytest.mark.rejects
def test_points_and_pixels_are_as_many() -> None:
    with pytest.raises(ValueError, match="`pixels` must have as many points as `points`"):
        solve_pnp(torch.eye(3), torch.zeros(4, 3), torch.zeros(5, 2))


def cloud(shape: str, seed: int, count: int) -> Tensor:
    """Random points in a box of one meter, which may be flat."""
    generator = torch.Generator().manual_seed(seed)
    corners = torch.tensor([[1, 1, 1], [-1, 1, -1], [-1, -1, 1], [1, -1, -1]]).double()
    others = 2 * torch.rand(count - 4, 3, generator=generator, dtype=torch.float64) - 1
    flat = torch.tensor([1.0, 1.0, FLATNESS[shape]]).double()
    return 0.5 * torch.cat([corners, others]) * flat


def noisy(shape: str, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Intrinsics, points, pixels with noise of 2 px, and weights."""
    generator = torch.Generator().manual_seed(seed)
    cameras = Ring(height=2.0).cameras()
    points = cloud(shape, seed, 15)
    exact = project_points(cameras.projections[:1], points)[0]
    noise = 2 * torch.randn(exact.shape, generator=generator, dtype=torch.float64)
    weights = 0.5 + torch.rand(15, generator=generator, dtype=torch.float64)
    return cameras.intrinsics[0], points, exact + noise, weights


def cost(K: Tensor, pose: Tensor, points: Tensor, pixels: Tensor, weights: Tensor) -> Tensor:
    projections = (K @ pose[..., :3, :])[..., None, :, :]
    squared = (project_points(projections, points)[..., 0, :, :] - pixels).square().sum(dim=-1)
    return (weights * squared).sum(dim=-1)
