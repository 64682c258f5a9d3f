"""Laws of the kernels under what torch makes of them: compiled, mapped, differentiated.

The scenes have one shape, lest each be compiled anew: three views, two points, and a sighting that
may be missing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from multiview_geom import (
    Similarity,
    align_rigid,
    align_similarity,
    nearest_rotation,
    smallest_eigenvector,
    triangulate_dlt,
)
from tests.multiview_geom.strategies import (
    Fan,
    Ring,
    Sightings,
    Staircase,
    clouds,
    noises,
    numbers,
    weights,
)

VIEWS, POINTS = 3, 2
SIMPLEX = torch.cat([torch.eye(3), torch.zeros(1, 3)]).double()


@dataclass(frozen=True)
class Scene:
    """What three views saw of two points, and which sighting is missing, if any."""

    sightings: Sightings
    missing: tuple[int, int] | None = None

    def seen(self) -> tuple[Tensor, ...]:
        pixels = self.sightings.pixels()
        if self.missing is not None:
            pixels[self.missing] = torch.nan
        return self.sightings.projections(), pixels, self.sightings.trust()

    def matrices(self) -> tuple[Tensor, ...]:
        """Matrices whose nearest rotation is clear."""
        near = torch.eye(3, dtype=torch.float64) * torch.tensor([3.0, 2.0, 1.0]).double()
        return (near + 0.2 * self.sightings.cloud.points()[:, :, None].cos(),)

    def sets(self) -> tuple[Tensor, ...]:
        """Two sets of six points, one a turned and noisy copy of the other, and weights."""
        points = torch.cat([SIMPLEX, self.sightings.cloud.points()])
        return points, points.roll(1, dims=-1) + 0.1 * points.cos(), 0.5 + points[:, 0].square()

    def symmetric(self) -> tuple[Tensor, ...]:
        """Symmetric 4x4 matrices with a gap below."""
        spread = torch.diag(torch.arange(1.0, 5.0, dtype=torch.float64))
        return (spread + 0.1 * self.sightings.cloud.points()[:, 0, None, None].expand(-1, 4, 4),)


rigs = (
    st.builds(Ring, views=st.just(VIEWS), radius=numbers(3.0, 8.0), height=numbers(0.5, 3.0))
    | st.builds(Fan, views=st.just(VIEWS), distance=numbers(3.0, 6.0), step_deg=numbers(3.0, 20.0))
    | st.builds(Staircase, distances=st.tuples(*[numbers(2.5, 9.0)] * VIEWS))
)
scenes = st.builds(
    Scene,
    st.builds(Sightings, rig=rigs, cloud=clouds(POINTS, POINTS), noise=noises, weights=weights),
    missing=st.none() | st.tuples(st.integers(0, VIEWS - 1), st.integers(0, POINTS - 1)),
)

Kernel = Callable[..., tuple[Tensor, ...]]
KERNELS: dict[str, tuple[Kernel, Callable[[Scene], tuple[Tensor, ...]]]] = {
    "triangulate_dlt": (lambda P, x, w: (triangulate_dlt(P, x, weights=w),), Scene.seen),
    "nearest_rotation": (lambda M: (nearest_rotation(M),), Scene.matrices),
    "align_rigid": (lambda a, b, w: _parts(align_rigid(a, b, weights=w)), Scene.sets),
    "align_similarity": (lambda a, b, w: _parts(align_similarity(a, b, weights=w)), Scene.sets),
    "smallest_eigenvector": (
        lambda S: (smallest_eigenvector((S + S.mT) / 2),),
        Scene.symmetric,
    ),
}
every_kernel = pytest.mark.parametrize("name", KERNELS)


@every_kernel
@given(scene=scenes)
def test_compiled_is_eager(name: str, scene: Scene) -> None:
    kernel, arguments = KERNELS[name]
    given_ = arguments(scene)
    with torch.no_grad():
        assert_all_close(_compiled(name)(*given_), kernel(*given_))


# torch's compiler makes an object of every differentiable function that it traces.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@every_kernel
@given(scene=scenes)
def test_the_compiled_gradient_is_the_eager_one(name: str, scene: Scene) -> None:
    kernel, arguments = KERNELS[name]
    given_ = arguments(scene)
    assert_all_close(_gradients(_compiled(name), given_), _gradients(kernel, given_))


@every_kernel
@given(one=scenes, other=scenes)
def test_mapped_is_a_loop(name: str, one: Scene, other: Scene) -> None:
    kernel, arguments = KERNELS[name]
    pairs = [arguments(one), arguments(other)]
    mapped = torch.func.vmap(kernel)(*(torch.stack(both) for both in zip(*pairs, strict=True)))
    looped = [torch.stack(both) for both in zip(*(kernel(*each) for each in pairs), strict=True)]
    assert_all_close(mapped, looped)


@given(one=scenes, other=scenes)
def test_a_rig_for_each_frame_need_not_be_mapped(one: Scene, other: Scene) -> None:
    kernel, arguments = KERNELS["triangulate_dlt"]
    frames = zip(arguments(one), arguments(other), strict=True)
    projections, *sightings = (torch.stack(both) for both in frames)
    swapped = [torch.stack([each, each.flip(0)]) for each in sightings]
    mapped = torch.func.vmap(kernel, (None, 0, 0))(projections, *swapped)
    looped = [kernel(projections, *each) for each in zip(*swapped, strict=True)]
    assert_all_close(mapped, [torch.stack(both) for both in zip(*looped, strict=True)])


@every_kernel
@given(scene=scenes)
def test_both_modes_of_differentiation_agree(name: str, scene: Scene) -> None:
    kernel, arguments = KERNELS[name]
    given_ = arguments(scene)
    tangents = tuple(tensor.nan_to_num(0.0).cos() for tensor in given_)
    _, pushed = torch.func.jvp(kernel, given_, tangents)
    rows = torch.func.jacrev(kernel, tuple(range(len(given_))))(*given_)
    expected = tuple(
        sum(
            torch.tensordot(slope, tangent, tangent.ndim)
            for slope, tangent in zip(row, tangents, strict=True)
        )
        for row in rows
    )
    assert_all_close(pushed, expected)


@every_kernel
@given(scene=scenes)
def test_first_and_second_derivatives_are_slopes(name: str, scene: Scene) -> None:
    kernel, arguments = KERNELS[name]
    leaves = tuple(tensor.requires_grad_() for tensor in arguments(scene))
    held, solve = _without_missing(kernel, leaves)
    assert gradcheck(solve, held, fast_mode=True, atol=1e-4)
    assert gradgradcheck(solve, held, fast_mode=True, atol=1e-4)


def assert_all_close(actual: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for left, right in zip(actual, expected, strict=True):
        torch.testing.assert_close(left, right, rtol=1e-6, atol=1e-8, equal_nan=True)


@cache
def _compiled(name: str) -> Kernel:
    torch.compiler.reset()
    compiled: Kernel = torch.compile(KERNELS[name][0], fullgraph=True, backend="aot_eager")
    return compiled


def _gradients(kernel: Kernel, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    leaves = tuple(tensor.clone().requires_grad_() for tensor in arguments)
    outcome = torch.cat([part.flatten() for part in kernel(*leaves)])
    return torch.autograd.grad(outcome.cos().sum(), leaves)


def _without_missing(
    kernel: Kernel, leaves: tuple[Tensor, ...]
) -> tuple[tuple[Tensor, ...], Kernel]:
    """Keep what is missing out of finite differences, which know no NaN."""
    lost = [leaf.isnan() for leaf in leaves]
    held = tuple(leaf.detach().nan_to_num(0.0).requires_grad_() for leaf in leaves)

    def solve(*given_: Tensor) -> tuple[Tensor, ...]:
        whole = (leaf.masked_fill(gone, torch.nan) for leaf, gone in zip(given_, lost, strict=True))
        return kernel(*whole)

    return held, solve


def _parts(transform: Similarity) -> tuple[Tensor, ...]:
    return transform.rotation, transform.translation, transform.scale
