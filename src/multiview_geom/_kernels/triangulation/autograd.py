"""Linear triangulation as one differentiable step, whatever the engine.

The value and the gradient come from the fastest engine at hand; derivatives of the gradient,
forward derivatives and what `torch.func` asks for come from the reference.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from multiview_geom._kernels import engines
from multiview_geom._kernels.triangulation import reference
from multiview_geom._kernels.triangulation.reference import Pixels, Points, Projections, Weights

LOOPS = "multiview_geom._kernels.triangulation.cpu"

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
        return triangulate_op(projections, pixels, weights)
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
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Any) -> None:  # noqa: ANN401 - autograd's own types
        """Keep the inputs and the points; the rest is cheaper to find again."""
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # noqa: ANN401 - autograd's own types
        """Return the implicit gradient in each input that asks for it."""
        return _pull_back(*ctx.saved_tensors, gradient, *ctx.needs_input_grad[::2])

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
        return triangulate_op(projections, pixels, weights)
    if engine == "numba":
        return _triangulate_on_cpu(projections, pixels, weights)
    return reference.triangulate(projections, pixels, weights)


def _pull_back(
    projections: Tensor,
    pixels: Tensor,
    weights: Tensor | None,
    points: Tensor,
    gradient: Tensor,
    in_projections: bool,  # noqa: FBT001 - what autograd tells
    in_weights: bool,  # noqa: FBT001
) -> tuple[Tensor | None, Tensor, Tensor | None]:
    inputs = (projections, pixels, weights, points, gradient)
    engine = engines.choose_engine(pixels)
    if engines.is_recording() or engine in ("reference", "triton"):
        of_rig, of_pixels, of_weights = reference.pull_back(*inputs)
    elif engine == "traced":
        of_rig, of_pixels, of_weights = pull_back_op(*inputs, in_projections, in_weights)
    else:
        of_rig, of_pixels, of_weights = _pull_back_on_cpu(*inputs, in_projections, in_weights)
    return of_rig if in_projections else None, of_pixels, of_weights if in_weights else None


def _triangulate_on_cpu(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> Tensor:
    frames, _, points, _ = pixels.shape
    found = pixels.new_empty(frames, points, 3)
    rig, sightings = _arguments(projections, pixels, weights)
    loop = engines.numba_functions(LOOPS)["triangulate"]
    whole = frames * points
    step = CHUNK if len(projections) == 1 else max(points, 1)
    work = partial(_call, loop, (rig, sightings), (found.view(-1).numpy(),))
    engines.split(work, whole, whole, step=step)
    return found


def _pull_back_on_cpu(
    projections: Tensor,
    pixels: Tensor,
    weights: Tensor | None,
    points: Tensor,
    gradient: Tensor,
    in_projections: bool,  # noqa: FBT001 - what autograd tells
    in_weights: bool,  # noqa: FBT001
) -> tuple[Tensor, Tensor, Tensor]:
    frames, views, count, _ = pixels.shape
    whole, shared = frames * count, len(projections) == 1
    step = CHUNK if shared else max(count, 1)
    of_pixels = torch.empty_like(pixels, memory_format=torch.contiguous_format)
    of_weights = pixels.new_empty((frames, views, count) if in_weights else (0,))
    chunks = -(-whole // CHUNK) if shared else frames
    sums = torch.zeros(chunks if in_projections else 0, views, 3, 4, dtype=torch.float64)
    of_points = tuple(tensor.detach().reshape(-1).numpy() for tensor in (points, gradient))
    gradients = (of_pixels.view(-1).numpy(), of_weights.view(-1).numpy(), sums.numpy())
    loop = engines.numba_functions(LOOPS)["differentiate"]
    work = partial(
        _call, loop, _arguments(projections, pixels, weights), (step, of_points, gradients)
    )
    engines.split(work, whole, whole, step=step)
    of_rig = sums.sum(dim=0, keepdim=True) if shared else sums
    return of_rig.to(pixels.dtype), of_pixels, of_weights


def _call(
    loop: Any, before: tuple[Any, ...], after: tuple[Any, ...], first: int, last: int
) -> None:  # noqa: ANN401 - compiled by Numba
    loop(*before, first, last, *after)


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


@torch.library.custom_op("multiview_geom::triangulate_linear_backward", mutates_args=())
def pull_back_op(  # noqa: PLR0913, PLR0917 - three inputs, the points, and what is wanted
    projections: Tensor,
    pixels: Tensor,
    weights: Tensor | None,
    points: Tensor,
    gradient: Tensor,
    in_projections: bool,  # noqa: FBT001 - torch's schemas have no keyword-only booleans here
    in_weights: bool,  # noqa: FBT001
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn the gradient in the points into that in the inputs, as one node of a traced graph."""
    found = _pull_back(projections, pixels, weights, points, gradient, in_projections, in_weights)
    empty = pixels.new_empty(0)
    return tuple(empty if tensor is None else tensor.clone() for tensor in found)


@triangulate_op.register_fake
def _(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> Tensor:  # noqa: ARG001
    return pixels.new_empty(pixels.shape[0], pixels.shape[2], 3)


@pull_back_op.register_fake
def _(  # noqa: PLR0913, PLR0917
    projections: Tensor,
    pixels: Tensor,
    weights: Tensor | None,
    points: Tensor,  # noqa: ARG001
    gradient: Tensor,  # noqa: ARG001
    in_projections: bool,  # noqa: FBT001
    in_weights: bool,  # noqa: FBT001
) -> tuple[Tensor, Tensor, Tensor]:
    del weights
    return (
        projections.new_empty(projections.shape if in_projections else (0,)),
        pixels.new_empty(pixels.shape),
        pixels.new_empty(pixels.shape[:-1] if in_weights else (0,)),
    )


@triangulate_op.register_vmap
def _(info: Any, in_dims: Any, *inputs: Any) -> Any:  # noqa: ANN401 - torch's own types
    return LinearTriangulation.vmap(info, in_dims, *inputs)


triangulate_op.register_autograd(
    LinearTriangulation.backward,
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs, output),
)
