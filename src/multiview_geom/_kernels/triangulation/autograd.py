"""Linear triangulation as one differentiable step: blocks that stay in cache, implicit derivatives.

At the minimum X of λ = ‖A X‖² / ‖X‖² the slope vanishes, so dx = -(B - λ)⁻¹ (dM X - dλ X), where
M = AᵀA and only the first three rows count. With w = (B - λ)⁻¹ g for an upstream gradient g, the
gradient in every input is that of Z M X with the vectors Z = (w·x / ‖X‖²) X - (w, 0) and X held
fixed: no gap but the one to the wanted eigenvalue enters. The backward pass is written in
ordinary tensor operations of the inputs and the points, so its own derivative is right as well.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels.point_blocks import equal_share, in_graph, looked_at
from multiview_geom._kernels.symmetric import in_rows, inner, less
from multiview_geom._kernels.triangulation.reference import (
    Sightings,
    applied,
    inverse_of_curvature,
    minimise,
    prepare_sightings,
    pulled_back,
    residuals,
)
from multiview_geom._kernels.triangulation.rig import Rig, prepare_rig

# Points in a block: what a block needs stays in the last cache of a processor; an accelerator
# has no such cache and wants long rows.
POINTS_IN_BLOCK, POINTS_IN_ACCELERATOR_BLOCK = 147_456, 1_048_576

# Rigs in a block, where every frame has its own: the constants of one fill a thousand bytes.
RIGS_IN_BLOCK = 2_048

VIEWS_NEEDED = 2

Block = tuple[int, int, int, int]
"""The first frame, how many, the first point, how many."""


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
        shape = pixels.shape[0], pixels.shape[2], 3
        return _joined(_points_of_block, shape, projections, pixels, weights)

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
        sightings = (projections, pixels, weights, points, gradient)
        of_rig = None
        if in_rig:
            of_rig = _rig_gradient(*sightings)
        of_pixels = of_weights = None
        if in_weights:
            both = _joined(_sighting_gradient, (*pixels.shape[:3], 3), *sightings)
            of_pixels, of_weights = both[..., :2], both[..., 2]
        elif in_pixels:
            of_pixels = _joined(_pixel_gradient, pixels.shape, *sightings)
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
    solve: Callable[..., list[Tensor]],
    shape: Sequence[int],
    projections: Float[Tensor, "r views 3 4"],
    pixels: Float[Tensor, "frames views points 2"],
    weights: Float[Tensor, "frames views points"] | None,
    *of_points: Float[Tensor, "frames points 3"],
) -> Tensor:
    """Solve block by block; put the rows that come, a point's or a sighting's, side by side."""
    if pixels.numel() == 0:
        return pixels.new_full(tuple(shape), torch.nan)
    if in_graph():
        # A compiler fuses the steps itself; a derivative of a derivative needs one graph.
        rows = solve(prepare_rig(projections), pixels, weights, *of_points)
        return torch.stack([_frames_first(row) for row in rows], dim=-1)
    rig = prepare_rig(projections[:1])
    table = (pixels, *of_points)[-1].new_empty(shape)
    for start, frames, first, points in _blocks(pixels, one_rig=len(projections) == 1):
        block = pixels.narrow(0, start, frames).narrow(2, first, points)
        trust = (
            None if weights is None else weights.narrow(0, start, frames).narrow(2, first, points)
        )
        here = [tensor.narrow(0, start, frames).narrow(1, first, points) for tensor in of_points]
        if len(projections) == 1:
            parts = _threads_that_share(frames * points, block.device)
            block = _in_long_rows(block, parts)
            trust = None if trust is None else _in_long_rows(trust[..., None], parts)[..., 0]
            here = [tensor.reshape(parts, -1, 3) for tensor in here]
        else:
            rig = prepare_rig(projections.narrow(0, start, frames))
        columns = table.narrow(0, start, frames).narrow(-2, first, points).unbind(-1)
        for column, row in zip(columns, solve(rig, block, trust, *here), strict=True):
            column.copy_(_frames_first(row.reshape(*row.shape[:-2], frames, points)))
    return table


def _frames_first(
    row: Float[Tensor, "*views frames points"],
) -> Float[Tensor, "frames *views points"]:
    return row.movedim(-2, 0)


def _blocks(pixels: Float[Tensor, "frames views points 2"], *, one_rig: bool) -> Iterator[Block]:
    """Walk over whole frames, or over parts of one frame after the other, in equal blocks."""
    frames, _, points, _ = pixels.shape
    cpu = pixels.device.type == "cpu"
    size = POINTS_IN_BLOCK if cpu else POINTS_IN_ACCELERATOR_BLOCK
    size = equal_share(frames * points, size)
    frame_step, point_step = max(1, size // points), equal_share(points, size)
    if cpu and not one_rig:
        frame_step = min(frame_step, RIGS_IN_BLOCK)
    for frame in range(0, frames, frame_step):
        for point in range(0, points, point_step):
            some_frames = min(frame_step, frames - frame)
            yield frame, some_frames, point, min(point_step, points - point)


def _threads_that_share(points: int, device: torch.device) -> int:
    threads = torch.get_num_threads() if device.type == "cpu" else 1
    return threads if points % threads == 0 else 1


def _in_long_rows(
    table: Float[Tensor, "frames views points k"], parts: int
) -> Float[Tensor, "parts views more_points k"]:
    """Make few frames of many, where all see through one rig."""
    views = table.transpose(0, 1)
    return views.reshape(len(views), parts, -1, table.shape[-1]).transpose(0, 1)


def _points_of_block(
    rig: Rig, pixels: Tensor, weights: Tensor | None
) -> list[Float[Tensor, "frames points"]]:
    sightings = prepare_sightings(rig, pixels, weights)
    points = minimise(rig, sightings)
    if sightings.trust is None and pixels.shape[1] >= VIEWS_NEEDED:
        return points
    unseen = torch.where(_seen_enough(rig, sightings), 0.0, torch.nan)
    return [row + unseen for row in points]


def _seen_enough(rig: Rig, sightings: Sightings) -> Bool[Tensor, "frames points"]:
    trust = torch.ones_like(sightings.across) if sightings.trust is None else sightings.trust
    return (trust.sign().clamp(min=0) * rig.calibrated).sum(dim=0) >= VIEWS_NEEDED


class _Minimum:
    """What both derivatives need of a found point: X, the residuals there, and λ."""

    def __init__(
        self, rig: Rig, pixels: Tensor, weights: Tensor | None, points: Float[Tensor, "f n 3"]
    ) -> None:
        self.rig = rig
        self.sightings = prepare_sightings(rig, pixels, weights)
        self.world, self.valid = in_rows(points), None
        if self.sightings.trust is not None or not (looked_at(points) and points.sum().isfinite()):
            finite = (self.world[0] + self.world[1] + self.world[2]).abs() < torch.inf
            self.valid = (finite & _seen_enough(rig, self.sightings)).to(points.dtype)
            # Zeroed, not only masked: a NaN point would leave NaN where zero belongs.
            self.world = [row.nan_to_num(0.0, 0.0, 0.0) for row in self.world]
        self.one = torch.ones_like(self.world[0])
        *self.found, self.depths = self.residuals(self.world, self.one)
        self.trusted = self.sightings.trusted(self.found)
        self.length = 1 + inner(self.world, self.world)
        self.quotient = _both_axes(self.trusted, self.found).sum(dim=0) / self.length

    def residuals(self, world: list[Tensor], last: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        vector = less(world, self.rig.origin, last)
        return residuals(self.rig, self.sightings, torch.stack([*vector, last]))

    def curved_back(self, vector: Sequence[Tensor]) -> list[Float[Tensor, "f n"]]:
        return inverse_of_curvature(self.rig, self.sightings, self.quotient, vector, self.valid)

    def test_vector(self, gradient: Float[Tensor, "f n 3"]) -> tuple[list[Tensor], Tensor]:
        """Return Z: its first three coordinates, and the last."""
        if self.valid is not None:
            # What comes back for a point that was not found may be NaN.
            gradient = torch.where(self.valid[..., None] > 0, gradient, 0.0)
        pull = self.curved_back(in_rows(gradient))
        last = inner(pull, self.world) / self.length
        return [last * row - back for row, back in zip(self.world, pull, strict=True)], last

    def whole_pixels(self) -> list[Float[Tensor, "views f n"]]:
        return [
            self.sightings.across + self.rig.centers[0],
            self.sightings.down + self.rig.centers[1],
        ]


def _sighting_gradient(
    rig: Rig, pixels: Tensor, weights: Tensor | None, points: Tensor, gradient: Tensor
) -> list[Float[Tensor, "views frames points"]]:
    """Return the gradient in u, in v and in the weight of every sighting."""
    minimum = _Minimum(rig, pixels, weights, points)
    *tested, depths = minimum.residuals(*minimum.test_vector(gradient))
    of_weight = _both_axes(minimum.found, tested) / minimum.sightings.unit_of_trust
    if minimum.sightings.trust is not None:
        of_weight = of_weight * minimum.sightings.trust.detach().sign()
    return [*_image_gradient(minimum, tested, depths), of_weight]


def _pixel_gradient(
    rig: Rig, pixels: Tensor, weights: Tensor | None, points: Tensor, gradient: Tensor
) -> list[Float[Tensor, "views frames points"]]:
    """Return the gradient in u and in v alone."""
    minimum = _Minimum(rig, pixels, weights, points)
    *tested, depths = minimum.residuals(*minimum.test_vector(gradient))
    return _image_gradient(minimum, tested, depths)


def _image_gradient(
    minimum: _Minimum, tested: list[Tensor], depths: Tensor
) -> list[Float[Tensor, "views f n"]]:
    by_depth = [
        torch.addcmul(found * depths, test, minimum.depths)
        for found, test in zip(minimum.found, tested, strict=True)
    ]
    return list(minimum.sightings.trusted(by_depth))


def _both_axes(left: Sequence[Tensor], right: Sequence[Tensor]) -> Float[Tensor, "..."]:
    """Add the products along u and along v."""
    return torch.addcmul(left[0] * right[0], left[1], right[1])


def _rig_gradient(
    projections: Tensor, pixels: Tensor, weights: Tensor | None, points: Tensor, gradient: Tensor
) -> Float[Tensor, "r views 3 4"]:
    if pixels.numel() == 0:
        return torch.zeros_like(projections)
    rig = prepare_rig(projections)
    minimum = _Minimum(rig, pixels, weights, points)
    test, last = minimum.test_vector(gradient)
    *tested, _ = minimum.residuals(test, last)
    shared = projections.shape[0] == 1
    form = "avfn,kfn->avk" if shared else "avfn,kfn->favk"
    rows = torch.einsum(form, _weighted_rows(minimum, minimum.found), torch.stack([*test, last]))
    here = torch.stack([*minimum.world, minimum.one])
    rows = rows + torch.einsum(form, _weighted_rows(minimum, tested), here)
    rows = rig.scale * (rows[None] if shared else rows)
    return torch.cat([rows[:, 1:], rows[:, :1]], dim=1).transpose(1, 2)


def _weighted_rows(
    minimum: _Minimum, residual: Sequence[Tensor], sign: int = 1
) -> Float[Tensor, "3 views f n"]:
    """Return what multiplies p3, p1 and p2 in a sum of trusted residuals."""
    across, down = minimum.sightings.trusted(residual)
    along = _both_axes(minimum.whole_pixels(), (across, down))
    return torch.stack([along, -sign * across, -sign * down])


def _points_tangent(  # noqa: PLR0913, PLR0917 - three inputs, the points, and three tangents
    projections: Tensor,
    pixels: Tensor,
    weights: Tensor | None,
    points: Tensor,
    moved_rig: Tensor | None,
    moved_pixels: Tensor | None,
    moved_weights: Tensor | None,
) -> Float[Tensor, "frames points 3"]:
    if pixels.numel() == 0:
        return torch.zeros_like(points)
    rig = prepare_rig(projections)
    minimum = _Minimum(rig, pixels, weights, points)
    sightings, found = minimum.sightings, torch.stack(minimum.found)
    trust = torch.ones_like(sightings.across) if sightings.trust is None else sightings.trust
    seen = trust > 0
    change, force = torch.zeros_like(found), torch.zeros_like(torch.stack(minimum.world))
    if moved_pixels is not None:
        image = torch.where(seen, moved_pixels.permute(3, 1, 0, 2), 0.0)
        axis = rig.equations[: projections.shape[1], :3].transpose(0, 1)
        change = change + image * minimum.depths
        force = force + applied(axis, _both_axes(image.unbind(), minimum.trusted))
    if moved_rig is not None:
        rows = _moved_equations(rig, moved_rig)
        change = change + _moved_residuals(rows, minimum)
        force = force + applied(
            rows[:, :3].transpose(0, 1), _weighted_rows(minimum, minimum.found, -1).flatten(0, 1)
        )
    push = trust * change
    growth = 2 * (found * push).sum(dim=(0, 1))
    if moved_weights is not None:
        moved = torch.where(seen, moved_weights.transpose(0, 1), 0.0) / sightings.unit_of_trust
        push = push + moved * found
        growth = growth + (moved * found.square()).sum(dim=(0, 1))
    force = force + pulled_back(rig, sightings, *push)[:3]
    growth_of_quotient = growth / minimum.length
    pull = minimum.curved_back(
        [row - growth_of_quotient * here for row, here in zip(force, minimum.world, strict=True)]
    )
    return -torch.stack(pull, dim=-1)


def _moved_equations(rig: Rig, moved: Float[Tensor, "r views 3 4"]) -> Float[Tensor, "rows 4 n"]:
    rows = torch.cat([moved[:, :, 2:], -moved[:, :, :2]], dim=2).permute(2, 1, 3, 0)
    rows = torch.where(rig.calibrated.mT > 0, rows, 0.0)
    return (rig.scale[:, 0, 0, 0] * rows).flatten(0, 1)


def _moved_residuals(rows: Float[Tensor, "equations 4 r"], minimum: _Minimum) -> Tensor:
    here = torch.stack([*minimum.world, minimum.one])
    depths, *offsets = applied(rows, here).chunk(3)
    pixels = minimum.whole_pixels()
    return torch.stack(
        [torch.addcmul(row, image, depths) for row, image in zip(offsets, pixels, strict=True)]
    )
