"""Laws of lens distortion."""

import pytest
import torch
from hypothesis import given
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from multiview_geom import Cameras, distort_pixels, undistort_pixels
from multiview_geom.lenses import _point_blocks
from tests.multiview_geom.lenses.drawn_lenses import (
    BARREL,
    HUMAN36M_LIKE,
    WIDE,
    Glass,
    glasses,
    known,
    reach,
    seen_by_opencv,
)
from tests.multiview_geom.tolerances import assert_close

# The bounds, in pixels.
ROUND_TRIP_PX, ROUND_TRIP_FLOAT32_PX = 1e-6, 1e-3
AS_OPENCV_PX = 1e-10
SHARE_AS_BRUTE_FORCE = 0.999

every_known_lens = pytest.mark.parametrize("glass", known.values(), ids=known.keys())


def round_trip(glass: Glass, pixels: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return how far each pixel comes back from itself, and which are valid."""
    K, k, seen = glass.intrinsics().to(dtype), glass.distortion().to(dtype), pixels.to(dtype)
    ideal, valid = undistort_pixels(K, k, seen)
    return (distort_pixels(K, k, ideal) - seen).norm(dim=-1), valid


@given(glass=glasses)
def test_distorting_undoes_undistorting(glass: Glass) -> None:
    distance, valid = round_trip(glass, glass.pixels(), torch.float64)
    assert distance[valid].max() < ROUND_TRIP_PX


@given(glass=glasses)
def test_distorting_undoes_undistorting_in_float32(glass: Glass) -> None:
    distance, valid = round_trip(glass, glass.pixels(), torch.float32)
    assert distance[valid].max() < ROUND_TRIP_FLOAT32_PX


@every_known_lens
def test_distorting_undoes_undistorting_a_known_lens(glass: Glass) -> None:
    distance, valid = round_trip(glass, glass.pixels(across=200), torch.float64)
    assert distance[valid].max() < ROUND_TRIP_PX


@given(glass=glasses)
def test_undistorting_undoes_distorting_near_the_center(glass: Glass) -> None:
    K, k = glass.intrinsics(), glass.distortion()
    ideal = K[:, None, :2, 2] + 0.3 * (glass.pixels() - K[:, None, :2, 2])
    again, valid = undistort_pixels(K, k, distort_pixels(K, k, ideal))
    assert valid.all()
    assert_close(again, ideal, atol=ROUND_TRIP_PX)


@given(glass=glasses)
def test_a_longer_focal_length_scales_the_image(glass: Glass) -> None:
    K, k, pixels = glass.intrinsics(), glass.distortion(), glass.pixels()
    center = K[:, None, :2, 2]
    twice = K * torch.tensor([[2.0, 2.0, 1.0], [2.0, 2.0, 1.0], [1.0, 1.0, 1.0]])
    twice[..., :2, 2] = K[..., :2, 2]
    scaled = distort_pixels(twice, k, center + 2 * (pixels - center))
    assert_close(scaled - center, 2 * (distort_pixels(K, k, pixels) - center), atol=1e-9)


def test_a_view_knows_only_its_own_lens() -> None:
    K = torch.cat([glass.intrinsics() for glass in HUMAN36M_LIKE])
    k = torch.cat([glass.distortion() for glass in HUMAN36M_LIKE])
    pixels = WIDE.pixels().repeat(4, 1, 1)
    each = [undistort_pixels(K[[v]], k[[v]], pixels[[v]]).pixels for v in range(4)]
    assert_close(undistort_pixels(K, k, pixels).pixels, torch.cat(each), atol=0)


@pytest.mark.parametrize("frames", [(), (3,), (2, 3)])
def test_blocks_change_nothing(frames: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    K, k = BARREL.intrinsics().repeat(2, 1, 1), BARREL.distortion().repeat(2, 1)
    shifts = torch.arange(torch.Size((*frames, 2)).numel()).reshape(*frames, 2, 1, 1)
    pixels = BARREL.pixels() + shifts
    whole = distort_pixels(K, k, pixels)
    monkeypatch.setattr(_point_blocks, "BLOCK", 100)
    own = (K.expand(*frames, 2, 3, 3), k.expand(*frames, 2, 4))
    for lenses in ((K, k), own):
        assert_close(distort_pixels(*lenses, pixels), whole, atol=1e-12)


@given(glass=glasses)
def test_it_is_opencvs_lens(glass: Glass) -> None:
    K, pixels = glass.intrinsics(), glass.pixels()
    points = torch.nn.functional.pad(pixels[0], (0, 1), value=1.0) @ torch.linalg.inv(K[0]).mT
    seen = distort_pixels(K, glass.distortion(), pixels)
    assert_close(seen[0], seen_by_opencv(glass, points), atol=AS_OPENCV_PX)


@every_known_lens
def test_valid_is_what_brute_force_inverts(glass: Glass) -> None:
    pixels = glass.pixels(across=300)
    valid = undistort_pixels(glass.intrinsics(), glass.distortion(), pixels).valid[0]
    inside = torch.from_numpy(reach(glass).contains_points(pixels[0].numpy()))
    assert (valid == inside).double().mean() >= SHARE_AS_BRUTE_FORCE


def test_no_distortion_moves_nothing() -> None:
    glass = Glass()
    K, k, pixels = glass.intrinsics(), glass.distortion(), glass.pixels()
    assert_close(distort_pixels(K, k, pixels), pixels, atol=1e-10)
    assert_close(undistort_pixels(K, k, pixels).pixels, pixels, atol=1e-10)


def test_shorter_rows_are_longer_ones_with_zeros() -> None:
    K, k, pixels = WIDE.intrinsics(), WIDE.distortion(), WIDE.pixels()
    padded = torch.nn.functional.pad(k, (0, 10))
    assert_close(distort_pixels(K, padded, pixels), distort_pixels(K, k, pixels), atol=1e-10)


def test_what_the_lens_cannot_have_seen_is_nan() -> None:
    far = torch.tensor([[[5000.0, 540.0], [torch.nan, 540.0], [torch.inf, 540.0]]]).double()
    ideal, valid = undistort_pixels(BARREL.intrinsics(), BARREL.distortion(), far)
    assert not valid.any()
    assert ideal.isnan().all()


def test_a_lens_that_is_not_a_number_sees_nothing() -> None:
    k = torch.full((1, 5), torch.nan, dtype=torch.float64)
    assert not undistort_pixels(WIDE.intrinsics(), k, WIDE.pixels()).valid.any()


@pytest.mark.parametrize("count", [4, 5, 8, 12, 14])
def test_the_inverse_has_the_slope_of_the_inverse(count: int) -> None:
    glass = Glass(tuple(0.8 * size for size in _largest(count)))
    pixels = glass.pixels(across=3)
    arguments = (glass.intrinsics(), glass.distortion(), pixels)
    leaves = [argument.clone().requires_grad_() for argument in arguments]

    def undistorted(*arguments: Tensor) -> Tensor:
        return undistort_pixels(*arguments).pixels

    assert gradcheck(undistorted, leaves, atol=1e-4)
    assert gradgradcheck(undistorted, leaves, atol=1e-3, rtol=1e-3)


def _largest(count: int) -> tuple[float, ...]:
    sizes = (-0.2, 0.05, 2e-3, -2e-3, 0.01, 0.02, 0.01, 0.0, 1e-3, 1e-3, -1e-3, 1e-3, 0.03, -0.02)
    return sizes[:count]


def test_an_invalid_pixel_passes_no_gradient_and_disturbs_no_neighbour() -> None:
    seen = torch.tensor([[[900.0, 500.0], [1e30, 500.0], [torch.nan, 0.0]]], dtype=torch.float64)
    leaves = [t.requires_grad_() for t in (BARREL.intrinsics(), BARREL.distortion(), seen)]
    undistort_pixels(*leaves).pixels[0].nan_to_num().sum().backward()
    assert all(leaf.grad is not None and leaf.grad.isfinite().all() for leaf in leaves)
    assert leaves[2].grad is not None
    assert not leaves[2].grad[0, 1:].any()


def test_a_point_at_infinity_passes_no_gradient_and_disturbs_no_neighbour() -> None:
    ideal = torch.tensor([[[900.0, 500.0], [1e30, 500.0], [torch.nan, 0.0]]], dtype=torch.float64)
    leaves = [t.requires_grad_() for t in (BARREL.intrinsics(), BARREL.distortion(), ideal)]
    distort_pixels(*leaves)[0].nan_to_num().sum().backward()
    assert all(leaf.grad is not None and leaf.grad.isfinite().all() for leaf in leaves)


@pytest.mark.rejects
@pytest.mark.parametrize("count", [0, 3, 6, 13])
def test_a_lens_has_as_many_coefficients_as_opencv_knows(count: int) -> None:
    with pytest.raises(ValueError, match=f"4, 5, 8, 12 or 14 coefficients, got {count}"):
        distort_pixels(WIDE.intrinsics(), torch.zeros(1, count).double(), WIDE.pixels())


@pytest.mark.rejects
def test_every_view_has_a_lens() -> None:
    with pytest.raises(ValueError, match=r"`distortion` must have as many views as `intrinsics`"):
        undistort_pixels(WIDE.intrinsics(), torch.zeros(2, 4).double(), WIDE.pixels())


@pytest.mark.rejects
def test_lens_and_pixels_share_a_dtype() -> None:
    with pytest.raises(ValueError, match="`distortion` must have the dtype of `intrinsics`"):
        undistort_pixels(WIDE.intrinsics(), torch.zeros(1, 4), WIDE.pixels())


NEARLY_CANCELLED_POLE = [
    *(-2.8247717583453804, -0.80078070764368037, -0.014595359484103326, 0.0018820998949700702),
    *(1.9827795585249783, -2.7306773773930897, -1.217725820479524, 2.4052243546080136),
    *(-0.0020670359760441713, 3.466e-05, 0.014100351510458799, -3.0935e-05),
]
"""A real calibration; a root of its numerator is 1e-6 from one of its denominator."""


def filmed_and_back(k: Tensor, ideal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return which points `project` and `undistort` call valid, and the undistorted points."""
    lenses, views = k.shape[0], torch.eye(4, dtype=torch.float64).expand(k.shape[0], 4, 4)
    cameras = Cameras(views[:, :3, :3], views, k)
    seen = cameras.project(torch.nn.functional.pad(ideal, (0, 1), value=1.0))
    again = cameras.undistort(seen.pixels)
    assert again.valid.shape == (lenses, ideal.shape[-2])
    return seen.valid, again.valid, again.pixels


def test_a_nearly_cancelled_pole_of_a_real_lens_costs_no_pixel() -> None:
    K = torch.tensor([[[1570.9, 0.0, 744.9], [0.0, 1570.3, 575.6], [0.0, 0.0, 1.0]]]).double()
    lens = torch.tensor([NEARLY_CANCELLED_POLE], dtype=torch.float64)
    across, down = torch.meshgrid(torch.arange(0, 1490, 5), torch.arange(0, 1151, 5), indexing="xy")
    corner = torch.cartesian_prod(torch.arange(50), torch.arange(50))
    pixels = torch.cat([torch.stack([across, down], dim=-1).reshape(-1, 2), corner])[None].double()
    cameras = Cameras(K, torch.eye(4, dtype=torch.float64)[None], lens)
    ideal, valid = cameras.undistort(pixels)
    assert valid.all()
    rays = torch.nn.functional.pad((ideal - K[:, None, :2, 2]) / K[:, None, [0, 1], [0, 1]], (0, 1))
    rays[..., 2] = 1.0
    seen = cameras.project(rays[0])
    assert seen.valid.all()
    assert_close(seen.pixels, pixels, atol=1e-8)


def test_project_and_undistort_agree_on_rational_lenses() -> None:
    generator = torch.Generator().manual_seed(0)
    spread = torch.tensor([0.5, 0.5, 0.0, 0.0, 0.3, 0.8, 0.8, 0.5], dtype=torch.float64)
    k = spread * torch.randn(1000, 8, generator=generator, dtype=torch.float64)
    fine = torch.linspace(0, 1.2, 20_001, dtype=torch.float64)
    squared = fine.square()
    powers = torch.stack([squared, squared.square(), squared**3])
    denominator = 1 + k[:, 5:] @ powers
    profile = fine * (1 + k[:, [0, 1, 4]] @ powers) / denominator
    slope = profile.diff(dim=-1) / fine.diff()
    usual = ((slope > 0) & (denominator[:, 1:] > 0)).int().cumprod(dim=-1).bool()
    steep = (slope > 5.0).int().cumsum(dim=-1) > 0
    # At a fold, where the slope is zero, Newton's method needs more steps than it gets.
    clear = (usual & ~steep & (slope > 0.1))[:, ::50]
    radius, usual = fine[1::50], usual[:, ::50]
    ideal = radius[:, None] * torch.tensor([0.8, 0.6], dtype=torch.float64)
    seen, again, points = filmed_and_back(k, ideal)
    assert not (seen & ~usual).any()
    assert seen[clear].all()
    assert again[clear].all()
    assert_close(points[clear], ideal.expand_as(points)[clear], atol=1e-8)
