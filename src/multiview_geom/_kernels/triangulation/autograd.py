"""Linear triangulation as one differentiable step, whatever the engine.

The value and the gradient come from the fastest engine at hand; derivatives of the gradient,
forward derivatives and what `torch.func` asks for come from the reference.
"""

from typing import Any, TypeAlias

import torch
from torch import Tensor

from multiview_geom._kernels import engines
from multiview_geom._kernels.triangulation import reference
from multiview_geom._kernels.triangulation.reference import Pixels, Points, Projections, Weights

Inputs: TypeAlias = tuple[Tensor, Tensor, Tensor | None]
LOOPS = "multiview_geom._kernels.triangulation.cpu"
GRADIENT_LOOPS = "multiview_geom._kernels.triangulation.cpu_gradient"

# Ranges of points that threads share end at multiples of this, so that the sums of the gradient
# in the projections do not depend on the number of threads.
CHUNK = 4_096


def linear_triangulation(
    projections: Projections, pixels: Pixels, weights: Weights | None
) -> Points:
    """Triangulate; a rig is given once, or once per frame."""
    if engines.is_traced():
        if engines.is_transformed():
            return _by_newton_steps(projections, pixels, weights)
        return triangulate_op(projections, pixels, weights)  # type: ignore[no-any-return]
    return LinearTriangulation.apply(projections, pixels, weights)  # type: ignore[no-any-return, no-untyped-call]


def _by_newton_steps(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> Tensor:
    """Triangulate such that the transforms of `torch.func` see tensor operations only.

    Two of Newton's steps at the minimum do not move it, but have its first and second derivatives.
    """
    inputs = (projections, pixels, weights)
    still = (projections.detach(), pixels.detach(), None if weights is None else weights.detach())
    points = triangulate_op(*still)
    return reference.newton_step(*inputs, reference.newton_step(*inputs, points))


class LinearTriangulation(torch.autograd.Function):
    """The value, and its derivatives of both modes and all orders."""

    @staticmethod
    def forward(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> Tensor:
        """Triangulate."""
        return _triangulate(projections, pixels, weights)

    @staticmethod
    def setup_context(ctx: Any, inputs: Inputs, output: Any) -> None:  # noqa: ANN401 - autograd's own types
        """Keep the inputs and the points; the rest is cheaper to find again."""
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # noqa: ANN401 - autograd's own types
        """Return the implicit gradient in each input that asks for it."""
        *inputs, points = ctx.saved_tensors
        in_rig, _, in_weights = ctx.needs_input_grad
        found = _pull_back(tuple(inputs), points, gradient, (in_rig, in_weights))
        return found[0] if in_rig else None, found[1], found[2] if in_weights else None

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:  # noqa: ANN401 - autograd's own types
        """Return how the points move when the inputs do."""
        *inputs, points = ctx.saved_tensors
        return reference.push_forward(tuple(inputs), points, tangents)

    @staticmethod
    def vmap(
        info: Any,  # noqa: ANN401 - autograd's own types
        in_dims: tuple[int | None, ...],
        projections: Tensor,
        pixels: Tensor,
        weights: Tensor | None,
    ) -> tuple[Tensor, int]:
        """Make the mapped axis more frames."""
        frames = pixels.shape[0] if in_dims[1] is None else pixels.movedim(in_dims[1], 0).shape[1]

        def merged(tensor: Tensor, axis: int | None) -> Tensor:
            first = tensor[None] if axis is None else tensor.movedim(axis, 0)
            return first.expand(info.batch_size, frames, *first.shape[2:]).flatten(0, 1)

        shared = in_dims[0] is None and projections.shape[0] == 1
        points = linear_triangulation(
            projections if shared else merged(projections, in_dims[0]),
            merged(pixels, in_dims[1]),
            None if weights is None else merged(weights, in_dims[2]),
        )
        return points.reshape(info.batch_size, frames, *points.shape[1:]), 0


def _triangulate(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> Tensor:
    engine = engines.choose_engine(pixels)
    if engine == "traced":
        return triangulate_op(projections, pixels, weights)  # type: ignore[no-any-return]
    if engine != "numba":
        return reference.triangulate(projections, pixels, weights)
    frames, _, points, _ = pixels.shape
    found = pixels.new_empty(frames, points, 3)
    triangulate = engines.numba_functions(LOOPS)["triangulate"]
    arguments, flat = _arguments(projections, pixels, weights), found.view(-1).numpy()
    engines.split(
        lambda first, last: triangulate(*arguments, first, last, flat),
        frames * points,
        step=CHUNK if len(projections) == 1 else points,
    )
    return found


def _pull_back(
    inputs: Inputs, points: Tensor, gradient: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients in projections, pixels and weights; only the second always."""
    engine = engines.choose_engine(points)
    if engine == "traced" and not engines.is_recording():
        return pull_back_op(*inputs, points, gradient, *wanted)  # type: ignore[no-any-return]
    if engine != "numba" or engines.is_recording():
        return reference.pull_back(*inputs, points, gradient)
    return _pull_back_on_cpu(inputs, points, gradient, wanted)


def _pull_back_on_cpu(
    inputs: Inputs, points: Tensor, gradient: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor, Tensor, Tensor]:
    projections, pixels, _ = inputs
    frames, views, count, _ = pixels.shape
    step = CHUNK if len(projections) == 1 else count
    chunks = -(-frames * count // step) if wanted[0] and step else 0
    of_pixels = torch.empty_like(pixels, memory_format=torch.contiguous_format)
    of_weights = pixels.new_empty((frames, views, count) if wanted[1] else (0,))
    sums = torch.zeros(chunks, views, 3, 4, dtype=torch.float64)
    gradients = (of_pixels.view(-1).numpy(), of_weights.view(-1).numpy(), sums.numpy())
    of_points = (points.detach().reshape(-1).numpy(), gradient.detach().reshape(-1).numpy())
    differentiate = engines.numba_functions(GRADIENT_LOOPS)["differentiate"]
    arguments = _arguments(*inputs)
    engines.split(
        lambda first, last: differentiate(*arguments, first, last, step, of_points, gradients),
        frames * count,
        step=step,
    )
    of_rig = sums.sum(dim=0, keepdim=True) if len(projections) == 1 else sums
    return of_rig.to(pixels.dtype), of_pixels, of_weights


def _arguments(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> tuple[Any, Any]:
    """Return what the loops read: the rig, and the sightings as flat arrays with their strides."""
    image, steps = engines.flat(pixels)
    trust, trust_steps = (image[:0], (0, 0, 0)) if weights is None else engines.flat(weights)
    rig = projections.detach().contiguous().numpy()
    return rig, (image, steps, trust, trust_steps, weights is not None, pixels.shape[2])


@torch.library.custom_op("multiview_geom::triangulate_linear", mutates_args=())
def triangulate_op(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> Tensor:
    """Triangulate, as one node of a traced graph."""
    return _triangulate(projections, pixels, weights)


@triangulate_op.register_fake
def _(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> Tensor:
    del projections, weights
    return pixels.new_empty(pixels.shape[0], pixels.shape[2], 3)


@triangulate_op.register_vmap
def _(info: Any, in_dims: Any, *inputs: Any) -> Any:  # noqa: ANN401 - torch's own types
    return LinearTriangulation.vmap(info, in_dims, *inputs)


triangulate_op.register_autograd(
    LinearTriangulation.backward,
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs, output),
)


@torch.library.custom_op("multiview_geom::triangulate_linear_backward", mutates_args=())
def pull_back_op(  # noqa: PLR0913, PLR0917 - an operator takes no tuples
    projections: Tensor,
    pixels: Tensor,
    weights: Tensor | None,
    points: Tensor,
    gradient: Tensor,
    in_projections: bool,  # noqa: FBT001
    in_weights: bool,  # noqa: FBT001
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn the gradient in the points into that in the inputs, as one node of a traced graph."""
    inputs, wanted = (projections, pixels, weights), (in_projections, in_weights)
    of_rig, of_pixels, of_weights = _pull_back(inputs, points, gradient, wanted)
    empty = pixels.new_empty(0)
    return of_rig if in_projections else empty, of_pixels, of_weights if in_weights else empty


@pull_back_op.register_fake
def _(  # noqa: PLR0913, PLR0917
    projections: Tensor,
    pixels: Tensor,
    weights: Tensor | None,
    points: Tensor,
    gradient: Tensor,
    in_projections: bool,  # noqa: FBT001
    in_weights: bool,  # noqa: FBT001
) -> tuple[Tensor, Tensor, Tensor]:
    del weights, points, gradient
    return (
        projections.new_empty(projections.shape if in_projections else (0,)),
        pixels.new_empty(pixels.shape),
        pixels.new_empty(pixels.shape[:-1] if in_weights else (0,)),
    )
