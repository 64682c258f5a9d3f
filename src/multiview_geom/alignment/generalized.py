"""Generalized Procrustes: the mean shape of many point sets, and the alignment of each to it."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.utils._pytree import tree_map

from multiview_geom._validation import (
    broadcast_axes,
    for_computation,
    require_at_least,
    require_floating,
    require_trailing_shape,
)
from multiview_geom.alignment.procrustes import align_similarity
from multiview_geom.transforms import Similarity


class GeneralizedAlignment(NamedTuple):
    """The mean shape, the transform of each set to the shape, and the remaining distances.

    Example:
        >>> triangle = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        >>> aligned = generalized_procrustes(torch.stack([triangle, 2 * triangle + 1]))
        >>> aligned.points.shape, aligned.residuals.max() < 1e-5
        (torch.Size([3, 3]), tensor(True))
    """

    points: Float[Tensor, "*batch points d"]
    transforms: Similarity
    residuals: Float[Tensor, "*batch sets points"]


def generalized_procrustes(
    sets: Float[Tensor, "*#batch sets points d"],
    *,
    weights: Float[Tensor, "*#batch sets points"] | None = None,
    align: Callable[..., Similarity] = align_similarity,
    steps: int = 10,
) -> GeneralizedAlignment:
    """Find the mean shape of many point sets, and align every set to it.

    Aligns all sets to the shape, takes their weighted mean as the next shape, and repeats. Each
    step lowers the sum of `weight * ‖transform(point) - shape‖²`, relative to the size of the
    shape.

    Args:
        sets: Point sets with the same points in the same order, each in its own frame.
        weights: Weight of each point of each set, >= 0; zero or less removes it. Equal by default.
        align: `align_similarity`, or `align_rigid` if all sets have the same size.
        steps: Number of repetitions.

    Returns:
        The mean shape in the frame, and at the scale, of the first set; the transforms from
        each set to the shape; the distances of the transformed points from the shape.

    Raises:
        ValueError: If a shape or dtype disagrees, if there is no set, or if `steps` is negative.

    Note:
        A point with a coordinate that is not finite counts as weight zero. A point that is in no
        set is NaN in the shape. The first set determines the frame, so it needs enough points
        for an alignment; other sets without enough points are ignored.

    Reference:
        Gower, Generalized Procrustes analysis, Psychometrika 1975; the mean shape of Dryden
        and Mardia, Statistical shape analysis (2nd ed.), sec. 7.4.

    Example:
        >>> shape = torch.tensor([1.0, 2.0, 3.0]).diag()
        >>> found = generalized_procrustes(torch.stack([shape, 2 * shape + 1, shape.roll(1, -1)]))
        >>> found.transforms.scale.round(decimals=3)
        tensor([1.0000, 0.5000, 1.0000])
    """
    require_trailing_shape("sets", sets, "sets", "points", "d")
    require_floating(sets=sets)
    require_at_least("number of sets", sets.shape[-3], 1)
    require_at_least("steps", steps, 0)
    if not callable(align):
        raise ValueError(f"`align` must be a function, such as align_rigid, got {align!r}")  # noqa: TRY004 - as all arguments
    if weights is not None:
        require_trailing_shape("weights", weights, *sets.shape[-3:-1])
        require_floating(sets=sets, weights=weights)
        broadcast_axes(sets=sets.shape[:-3], weights=weights.shape[:-2])
    points = for_computation(sets)
    weight = _effective_weights(points, weights)
    points = torch.where(points.isfinite(), points, 0.0)
    shape, has_point = _mean(points[..., :1, :, :], weight[..., :1, :])
    for _ in range(steps):
        transforms = _align_sets(points, shape, has_point, weight, align)
        shape, has_point = _mean(transforms.apply(points), weight)
        shape = _first(transforms).inverse().apply(shape)
    transforms = _align_sets(points, shape, has_point, weight, align)
    known = (weight > 0) & has_point[..., None, :]
    residuals = _distances(transforms.apply(points), shape[..., None, :, :], known)
    shape = torch.where(has_point[..., None], shape, torch.nan)
    return GeneralizedAlignment(
        shape.to(sets.dtype),
        tree_map(lambda field: field.to(sets.dtype), transforms),
        residuals.to(sets.dtype),
    )


def _align_sets(
    points: Float[Tensor, "*#batch sets points d"],
    shape: Float[Tensor, "*#batch points d"],
    has_point: Bool[Tensor, "*#batch points"],
    weight: Float[Tensor, "*#batch sets points"],
    align: Callable[..., Similarity],
) -> Similarity:
    """Align every set to the points that the shape has."""
    common = torch.where(has_point[..., None, :], weight, 0.0)
    found: object = align(points, shape[..., None, :, :], weights=common)
    if isinstance(found, Similarity):
        return found
    got = type(found).__name__
    raise ValueError(f"`align` must return a Similarity, as align_rigid does, got {got}")


def _effective_weights(
    points: Float[Tensor, "*#batch sets points d"],
    weights: Float[Tensor, "*#batch sets points"] | None,
) -> Float[Tensor, "*#batch sets points"]:
    """Return the weights, zero for missing points."""
    known = points.isfinite().all(dim=-1)
    if weights is None:
        return known.to(points.dtype)
    weight = for_computation(weights)
    return torch.where(known & (weight > 0), weight, 0.0)


def _mean(
    aligned: Float[Tensor, "*#batch sets points d"], weight: Float[Tensor, "*#batch sets points"]
) -> tuple[Float[Tensor, "*#batch points d"], Bool[Tensor, "*#batch points"]]:
    """Average over the sets with the point; zero and False where no set has it."""
    weight = torch.where(aligned.isfinite().all(dim=-1), weight, 0.0)[..., None]
    total = weight.sum(dim=-3)
    # Double `where`: a set without alignment would turn the gradients of the others into NaN.
    weighted = weight * torch.where(weight > 0, aligned, 0.0)
    mean = weighted.sum(dim=-3) / torch.where(total > 0, total, 1.0)
    return mean, total[..., 0] > 0


def _distances(aligned: Tensor, shape: Tensor, known: Tensor) -> Tensor:
    """Return the distance of each point from the shape; NaN where a set does not have it."""
    squared = (aligned - shape).square().sum(dim=-1)
    # Double `where`: the square root has an infinite derivative at zero.
    positive = known & (squared > 0)
    distance = torch.where(positive, torch.where(positive, squared, 1.0).sqrt(), 0.0)
    return torch.where(known & squared.isfinite(), distance, torch.nan)


def _first(transforms: Similarity) -> Similarity:
    sets_axis = transforms.scale.ndim - 1
    first: Similarity = tree_map(lambda field: field.select(sets_axis, 0), transforms)
    return first
