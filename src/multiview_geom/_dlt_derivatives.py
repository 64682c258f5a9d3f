"""Linear triangulation as one differentiable step: blocks that stay in cache, implicit derivatives.

At the minimum X of λ = ‖A X‖² / ‖X‖² the slope vanishes, so dx = -(B - λ)⁻¹ (dM X - dλ X), where
M = AᵀA and only the first three rows count. With w = (B - λ)⁻¹ g for an upstream gradient g, the
gradient in every input is that of Z M X with the vectors Z = (w·x / ‖X‖²) X - (w, 0) and X held
fixed: no gap but the one to the wanted eigenvalue enters. The backward pass is written in
ordinary tensor operations of the inputs and the points, so its own derivative is right as well.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._dlt import (
    Rig,
    Sightings,
    applied,
    inverse_of_curvature,
    minimise,
    prepare_rig,
    prepare_sightings,
    pulled_back,
    residuals,
)
from multiview_geom._symmetric import in_rows, inner, interleaved

# Points in a block: what a block needs stays in the last cache of a processor; an accelerator
# has no such cache and wants long rows.
POINTS_IN_BLOCK, POINTS_IN_ACCELERATOR_BLOCK = 32_768, 1_048_576

# Rigs in a block, where every frame has its own: the constants of one fill a thousand bytes.
RIGS_IN_BLOCK = 2_048

VIEWS_NEEDED = 2

Block = tuple[slice, slice]


def linear_triangulation(
    projections: Float[Tensor, "r views 3 4"],
    pixels: Float[Tensor, "frames views points 2"],
    weights: Float[Tensor, "frames views points"] | None,
) -> Float[Tensor, "frames points 3"]:
    """Triangulate; a rig is given once, or once per frame."""
    inputs = (projections, pixels, weights)
    if not torch.compiler.is_compiling():
        return LinearTriangulation.apply(*inputs)  # type: ignore[no-any-return, no-untyped-call]
    if torch.is_grad_enabled() and any(
        tensor is not None and tensor.requires_grad for tensor in inputs
    ):
        return LinearTriangulationInGraph.apply(*inputs)  # type: ignore[no-any-return, no-untyped-call]
    return LinearTriangulationInGraph.forward(*inputs)


class LinearTriangulationInGraph(torch.autograd.Function):
    """Value and reverse derivative: what a compiler can trace."""

    @staticmethod
    def forward(projections: Tensor, pixels: Tensor, weights: Tensor | None) -> Tensor:
        """Triangulate frame by frame, block by block."""
        return _joined(_points_of_block, projections, pixels, weights)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor | None], output: Any) -> None:  # noqa: ANN401 - autograd's own types
        """Keep the inputs and the points; the rest is cheaper to find again."""
        ctx.save_for_backward(*inputs, output)
        ctx.save_for_forward(*inputs, output)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # noqa: ANN401 - autograd's own types
        """Return the implicit gradient in each input that asks for it."""
        projections, pixels, weights, points = ctx.saved_tensors
        in_rig, in_pixels, in_weights = ctx.needs_input_grad
        of_rig = None
        if in_rig:
            of_rig = _rig_gradient(projections, pixels, weights, points, gradient)
        of_pixels = of_weights = None
        if in_weights:
            both = _joined(_sighting_gradient, projections, pixels, weights, points, gradient)
            of_pixels, of_weights = both[..., :2], both[..., 2]
        elif in_pixels:
            of_pixels = _joined(_pixel_gradient, projections, pixels, weights, points, gradient)
        return of_rig, of_pixels, of_weights


class LinearTriangulation(LinearTriangulationInGraph):
    """The same with the forward derivative and a rule for `vmap`, which no compiler traces."""

    @staticmethod
    def jvp(ctx: Any, *tangents: Tensor | None) -> Tensor:  # noqa: ANN401 - autograd's own types
        """Return how the points move when the inputs do."""
        return _points_tangent(*ctx.saved_tensors, *tangents)

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


def _joined(
    solve: Callable[..., Tensor],
    projections: Float[Tensor, "r views 3 4"],
    pixels: Float[Tensor, "frames views points 2"],
    weights: Float[Tensor, "frames views points"] | None,
    *of_points: Float[Tensor, "frames points 3"],
) -> Tensor:
    """Solve block by block, and join what comes on the axes of frames and points (-2)."""
    if pixels.numel() == 0 or torch.compiler.is_compiling() or torch.is_grad_enabled():
        # A compiler fuses the steps itself; a derivative of a derivative needs one graph.
        return solve(prepare_rig(projections), pixels, weights, *of_points)
    shared = prepare_rig(projections) if projections.shape[0] == 1 else None
    rows = []
    for frames, points in _blocks(pixels, one_rig=shared is not None):
        rig = prepare_rig(projections[frames]) if shared is None else shared
        some = [None if weights is None else weights[frames, :, points]]
        some += [tensor[frames, points] for tensor in of_points]
        rows.append(solve(rig, pixels[frames, :, points], *some))
    return _stitched(rows, pixels.shape[0])


def _blocks(pixels: Float[Tensor, "frames views points 2"], *, one_rig: bool) -> Iterator[Block]:
    """Walk over whole frames, or over parts of one frame after the other."""
    frames, _, points, _ = pixels.shape
    cpu = pixels.device.type == "cpu"
    size = POINTS_IN_BLOCK if cpu else POINTS_IN_ACCELERATOR_BLOCK
    frame_step, point_step = max(1, size // points), min(size, points)
    if cpu and not one_rig:
        frame_step = min(frame_step, RIGS_IN_BLOCK)
    for frame in range(0, frames, frame_step):
        for point in range(0, points, point_step):
            yield slice(frame, frame + frame_step), slice(point, point + point_step)


def _stitched(blocks: list[Tensor], frames: int) -> Tensor:
    if len(blocks) == 1:
        return blocks[0]
    if sum(block.shape[0] for block in blocks) == frames:
        return torch.cat(blocks)
    across = len(blocks) // frames
    rows = [torch.cat(blocks[row : row + across], dim=-2) for row in range(0, len(blocks), across)]
    return torch.cat(rows)


def _points_of_block(rig: Rig, pixels: Tensor, weights: Tensor | None) -> Tensor:
    sightings = prepare_sightings(rig, pixels, weights)
    seen = _seen_enough(sightings)
    return interleaved([torch.where(seen, row, torch.nan) for row in minimise(rig, sightings)])


def _seen_enough(sightings: Sightings) -> Bool[Tensor, "frames points"]:
    return (sightings.trust > 0).sum(dim=0) >= VIEWS_NEEDED


class _Minimum:
    """What both derivatives need of a found point: X, the residuals there, and λ."""

    def __init__(
        self, rig: Rig, pixels: Tensor, weights: Tensor | None, points: Float[Tensor, "f n 3"]
    ) -> None:
        self.rig = rig
        self.sightings = prepare_sightings(rig, pixels, weights)
        world = in_rows(points)
        self.valid = _seen_enough(self.sightings) & world.isfinite().all(dim=0)
        # Doubled where: a NaN point would leave NaN where zero belongs.
        self.world = torch.where(self.valid, world, 0.0)
        self.one = torch.ones_like(self.world[:1])
        self.found, self.depths = self.residuals(self.world, self.one)
        self.trusted = self.sightings.trust * self.found
        self.length = 1 + inner(self.world, self.world)
        self.quotient = (self.trusted * self.found).sum(dim=(0, 1)) / self.length

    def residuals(self, world: Tensor, last: Tensor) -> tuple[Tensor, Tensor]:
        vector = torch.cat([world - last * self.rig.origin, last])
        return residuals(self.rig, self.sightings, vector)

    def curved_back(self, vector: Float[Tensor, "3 f n"]) -> Float[Tensor, "3 f n"]:
        return inverse_of_curvature(self.rig, self.sightings, self.quotient, vector, self.valid)

    def test_vector(self, gradient: Float[Tensor, "f n 3"]) -> tuple[Tensor, Tensor]:
        """Return Z: its first three coordinates, and the last."""
        asked = torch.where(self.valid, in_rows(gradient), 0.0)
        pull = self.curved_back(asked)
        last = (inner(pull, self.world) / self.length)[None]
        return last * self.world - pull, last

    def whole_pixels(self) -> Float[Tensor, "2 views f n"]:
        return self.sightings.image + self.rig.centers


def _sighting_gradient(
    rig: Rig, pixels: Tensor, weights: Tensor | None, points: Tensor, gradient: Tensor
) -> Float[Tensor, "frames views points 3"]:
    """Return the gradient in u, in v and in the weight of every sighting."""
    minimum = _Minimum(rig, pixels, weights, points)
    tested, depths = minimum.residuals(*minimum.test_vector(gradient))
    of_weight = _both_axes(minimum.found, tested) / minimum.sightings.unit_of_trust
    rows = [*_image_gradient(minimum, tested, depths), of_weight]
    return interleaved(rows).transpose(0, 1)


def _pixel_gradient(
    rig: Rig, pixels: Tensor, weights: Tensor | None, points: Tensor, gradient: Tensor
) -> Float[Tensor, "frames views points 2"]:
    """Return the gradient in u and in v alone."""
    minimum = _Minimum(rig, pixels, weights, points)
    tested, depths = minimum.residuals(*minimum.test_vector(gradient))
    return interleaved(_image_gradient(minimum, tested, depths).unbind()).transpose(0, 1)


def _image_gradient(
    minimum: _Minimum, tested: Tensor, depths: Tensor
) -> Float[Tensor, "2 views f n"]:
    by_depth = torch.addcmul(minimum.found * depths, tested, minimum.depths)
    return minimum.sightings.trust * by_depth


def _both_axes(left: Float[Tensor, "2 ..."], right: Float[Tensor, "2 ..."]) -> Tensor:
    """Add the products along u and along v."""
    return torch.addcmul(left[0] * right[0], left[1], right[1])


def _rig_gradient(
    projections: Tensor, pixels: Tensor, weights: Tensor | None, points: Tensor, gradient: Tensor
) -> Float[Tensor, "r views 3 4"]:
    rig = prepare_rig(projections)
    minimum = _Minimum(rig, pixels, weights, points)
    test, last = minimum.test_vector(gradient)
    tested, _ = minimum.residuals(test, last)
    shared = projections.shape[0] == 1
    form = "avfn,kfn->avk" if shared else "avfn,kfn->favk"
    rows = torch.einsum(form, _weighted_rows(minimum, minimum.found), torch.cat([test, last]))
    here = torch.cat([minimum.world, minimum.one])
    rows = rows + torch.einsum(form, _weighted_rows(minimum, tested), here)
    rows = rig.scale[:, None, None, None] * (rows[None] if shared else rows)
    return torch.cat([rows[:, 1:], rows[:, :1]], dim=1).transpose(1, 2)


def _weighted_rows(
    minimum: _Minimum, residual: Tensor, sign: int = 1
) -> Float[Tensor, "3 views f n"]:
    """Return what multiplies p3, p1 and p2 in a sum of trusted residuals."""
    trusted = minimum.sightings.trust * residual
    return torch.cat([_both_axes(minimum.whole_pixels(), trusted)[None], -sign * trusted])


def _points_tangent(  # noqa: PLR0913, PLR0917 - three inputs, the points, and three tangents
    projections: Tensor,
    pixels: Tensor,
    weights: Tensor | None,
    points: Tensor,
    moved_rig: Tensor | None,
    moved_pixels: Tensor | None,
    moved_weights: Tensor | None,
) -> Float[Tensor, "frames points 3"]:
    rig = prepare_rig(projections)
    minimum = _Minimum(rig, pixels, weights, points)
    sightings, found = minimum.sightings, minimum.found
    seen = sightings.trust > 0
    change, force = torch.zeros_like(found), torch.zeros_like(minimum.world)
    if moved_pixels is not None:
        image = torch.where(seen, moved_pixels.permute(3, 1, 0, 2), 0.0)
        axis = rig.equations[: projections.shape[1], :3].transpose(0, 1)
        change = change + image * minimum.depths
        force = force + applied(axis, _both_axes(image, minimum.trusted))
    if moved_rig is not None:
        rows = _moved_equations(rig, moved_rig)
        change = change + _moved_residuals(rows, minimum)
        force = force + applied(
            rows[:, :3].transpose(0, 1), _weighted_rows(minimum, found, -1).flatten(0, 1)
        )
    push = sightings.trust * change
    growth = 2 * (found * push).sum(dim=(0, 1))
    if moved_weights is not None:
        trust = torch.where(seen, moved_weights.transpose(0, 1), 0.0) / sightings.unit_of_trust
        push = push + trust * found
        growth = growth + (trust * found.square()).sum(dim=(0, 1))
    force = force + pulled_back(rig, sightings, push)[:3]
    growth_of_quotient = growth / minimum.length
    return -minimum.curved_back(force - growth_of_quotient * minimum.world).movedim(0, -1)


def _moved_equations(rig: Rig, moved: Float[Tensor, "r views 3 4"]) -> Float[Tensor, "rows 4 n"]:
    rows = torch.cat([moved[:, :, 2:], -moved[:, :, :2]], dim=2).permute(2, 1, 3, 0)
    return (rig.scale * rows).flatten(0, 1)


def _moved_residuals(rows: Float[Tensor, "equations 4 r"], minimum: _Minimum) -> Tensor:
    here = torch.cat([minimum.world, minimum.one])
    depths, offsets = applied(rows, here).unflatten(0, (3, -1)).split([1, 2])
    return torch.addcmul(offsets, minimum.whole_pixels(), depths)
