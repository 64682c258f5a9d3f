"""Laws of the engines of undistortion: whichever computes, values and gradients are the same."""

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from torch import Tensor

from multiview_geom import undistort_pixels
from multiview_geom._kernels.lens.algebra import pull_back
from multiview_geom._kernels.lens.reference import (
    entries_of,
    group_coefficients,
    rows_of,
    untilt_homography,
)
from tests.multiview_geom.kernels.engine_choice import computed_by, every_engine, interpreted
from tests.multiview_geom.lenses.drawn_lenses import (
    BARREL,
    HUMAN36M_LIKE,
    PRISM,
    Glass,
    glasses,
    known,
)
from tests.multiview_geom.tolerances import assert_close

MANY = 20_000
TILTED = Glass((*PRISM.coefficients, 0.03, -0.02))


def value_and_gradients(glass: Glass, pixels: Tensor) -> list[Tensor]:
    """Return the ideal pixels, and the gradients in the pixels alone and in all arguments."""
    K, k, seen = glass.intrinsics(), glass.distortion(), pixels.clone().requires_grad_()
    ideal = undistort_pixels(K, k, seen).pixels
    alone = torch.autograd.grad((ideal / 1000).sin().nansum(), seen)
    leaves = [each.clone().requires_grad_() for each in (K, k, seen)]
    again = (undistort_pixels(*leaves).pixels / 1000).sin().nansum()
    return [ideal.detach(), *alone, *torch.autograd.grad(again, leaves)]


def agree(found: list[Tensor], expected: list[Tensor]) -> None:
    """Compare, with errors relative to the largest number."""
    for one, other in zip(found, expected, strict=True):
        assert_close(one, other, atol=1e-9 * float(1 + other.nan_to_num().abs().max()))


@every_engine
@interpreted
@given(glass=glasses)
@example(glass=PRISM)
@example(glass=TILTED)
def test_the_loops_agree_with_the_reference(engine: str, glass: Glass) -> None:
    pixels = glass.pixels(across=12)
    with computed_by(engine):
        found = value_and_gradients(glass, pixels)
    with computed_by("reference"):
        expected = value_and_gradients(glass, pixels)
    agree(found, expected)
    assert_close(found[1], found[4], atol=1e-9)


@every_engine
@interpreted
@pytest.mark.parametrize("glass", known.values(), ids=known.keys())
def test_the_loops_know_where_a_lens_ends(engine: str, glass: Glass) -> None:
    pixels = torch.cat([glass.pixels(across=20), torch.full((1, 1, 2), torch.nan).double()], dim=1)
    with computed_by(engine):
        valid = undistort_pixels(glass.intrinsics(), glass.distortion(), pixels).valid
    with computed_by("reference"):
        expected = undistort_pixels(glass.intrinsics(), glass.distortion(), pixels).valid
    assert torch.equal(valid, expected)


@every_engine
@interpreted
@pytest.mark.parametrize("scales", [1, 5], ids=["one rig", "a rig per frame"])
def test_frames_views_and_strides_find_their_lens(engine: str, scales: int) -> None:
    draw = torch.Generator().manual_seed(0)
    pixels = 1000 * torch.rand(2, 5, 4, 3, generator=draw, dtype=torch.float64)
    pixels = pixels.permute(1, 2, 3, 0)
    K = torch.cat([glass.intrinsics() for glass in HUMAN36M_LIKE])
    k = torch.cat([glass.distortion() for glass in HUMAN36M_LIKE])
    own = k * torch.linspace(0.5, 1.0, scales, dtype=torch.float64)[:, None, None]
    with computed_by(engine):
        found = undistort_pixels(K, own[0] if scales == 1 else own, pixels).pixels
    for frame, some in enumerate(own.expand(5, 4, 5)):
        for v in range(4):
            alone = undistort_pixels(K[[v]], some[[v]], pixels[frame, [v]]).pixels
            assert_close(found[frame, [v]], alone, atol=1e-9)


@every_engine
@interpreted
@pytest.mark.parametrize("shape", [(1, 0, 2), (0, 1, 5, 2), (0, 5, 2)], ids=str)
def test_zero_pixels_have_ideal_ones_and_gradients(engine: str, shape: tuple[int, ...]) -> None:
    pixels = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
    K, k = (each[: shape[-3]] for each in (BARREL.intrinsics(), BARREL.distortion()))
    with computed_by(engine):
        ideal = undistort_pixels(K, k, pixels).pixels
        (gradient,) = torch.autograd.grad(ideal.sum(), pixels)
    assert ideal.shape == gradient.shape == shape


@given(seed=st.integers(0, 100))
def test_the_number_of_threads_does_not_matter(seed: int) -> None:
    draw, before = torch.Generator().manual_seed(seed), torch.get_num_threads()
    pixels, results = 1000 * torch.rand(1, MANY, 2, generator=draw), []
    K, k = BARREL.intrinsics().float(), BARREL.distortion().float()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(undistort_pixels(K, k, pixels).pixels)
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(results[0].nan_to_num(), other.nan_to_num()) for other in results[1:])


@given(glass=glasses)
@example(glass=PRISM)
@example(glass=TILTED)
def test_the_gradient_in_a_pixel_is_that_of_the_inverse(glass: Glass) -> None:
    pixels = glass.pixels(across=5).requires_grad_()
    K, k = glass.intrinsics(), glass.distortion()
    ideal, valid = undistort_pixels(K, k, pixels)
    gradient = torch.autograd.grad((ideal / 1000).sin().nansum(), pixels)[0]
    of_ideal = (ideal / 1000).cos().detach() / 1000
    untilt = untilt_homography(k)
    lines = torch.eye(3, dtype=k.dtype).expand(1, 3, 3) if untilt is None else untilt
    at = pixels.unbind(dim=-1), ideal.detach().unbind(dim=-1)
    found = torch.stack(
        pull_back(
            entries_of(K), rows_of(lines), group_coefficients(k), at, of_ideal.unbind(dim=-1), 1
        ),
        dim=-1,
    )
    assert_close(found[valid], gradient[valid], atol=1e-9)
