"""The one shape that many point sets are noisy copies of."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._validation import (
    for_computation,
    require_floating,
    require_trailing_shape,
)
from multiview_geom.alignment.procrustes import align_similarity
from multiview_geom.transforms import Similarity


class GeneralizedAlignment(NamedTuple):
    """A common shape, how each set is laid on it, and how far each point then lies from it."""

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
    """Find the shape that many point sets share, and lay every set on it.

    Lays all sets on the shape, takes their weighted mean for the next shape, and so on: each
    step lowers the sum of `weight * ‖transform(point) - shape‖²`, relative to the shape's size.

    Args:
        sets: Point sets of the same points in the same order, each in a frame of its own.
        weights: Trust in each point of each set, >= 0; zero removes it. Equal by default.
        align: `align_similarity`, or `align_rigid` where all sets have one size.
        steps: How many times to lay and average.

    Returns:
        The shape in the frame, and at the scale, of the first set; the transforms from each
        set to it; the distances that remain.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Note:
        A point with a coordinate that is not finite counts as weight zero. A point that no
        set has is NaN in the shape. The first set gives the frame, so it must have enough
        points to be laid; the others, if they do not, are left out.

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
    if weights is not None:
        require_trailing_shape("weights", weights, *sets.shape[-3:-1])
        require_floating(sets=sets, weights=weights)
    places = for_computation(sets)
    trust = _trust(places, weights)
    places = torch.where(places.isfinite(), places, 0.0)
    shape, had = _mean(places[..., :1, :, :], trust[..., :1, :])
    for _ in range(steps):
        transforms = _lay(places, shape, had, trust, align)
        shape, had = _mean(transforms.apply(places), trust)
        shape = _first(transforms).inverse().apply(shape)
    transforms = _lay(places, shape, had, trust, align)
    known = (trust > 0) & had[..., None, :]
    residuals = _distances(transforms.apply(places), shape[..., None, :, :], known)
    shape = torch.where(had[..., None], shape, torch.nan)
    return GeneralizedAlignment(
        shape.to(sets.dtype), _cast(transforms, sets.dtype), residuals.to(sets.dtype)
    )


def _lay(
    places: Float[Tensor, "*#batch sets points d"],
    shape: Float[Tensor, "*#batch points d"],
    had: Bool[Tensor, "*#batch points"],
    trust: Float[Tensor, "*#batch sets points"],
    align: Callable[..., Similarity],
) -> Similarity:
    """Lay every set on the points that the shape already has."""
    share = torch.where(had[..., None, :], trust, 0.0)
    return align(places, shape[..., None, :, :], weights=share)


def _trust(
    places: Float[Tensor, "*#batch sets points d"],
    weights: Float[Tensor, "*#batch sets points"] | None,
) -> Float[Tensor, "*#batch sets points"]:
    known = places.isfinite().all(dim=-1)
    if weights is None:
        return known.to(places.dtype)
    trust = for_computation(weights)
    return torch.where(known & (trust > 0), trust, 0.0)


def _mean(
    laid: Float[Tensor, "*#batch sets points d"], trust: Float[Tensor, "*#batch sets points"]
) -> tuple[Float[Tensor, "*#batch points d"], Bool[Tensor, "*#batch points"]]:
    """Average over the sets that have the point; zero and False where none has."""
    share = torch.where(laid.isfinite().all(dim=-1), trust, 0.0)[..., None]
    total = share.sum(dim=-3)
    # Doubled where: a set that could not be laid would turn the others' gradients into NaN.
    weighted = share * torch.where(share > 0, laid, 0.0)
    mean = weighted.sum(dim=-3) / torch.where(total > 0, total, 1.0)
    return mean, total[..., 0] > 0


def _distances(laid: Tensor, shape: Tensor, known: Tensor) -> Tensor:
    """Measure how far each point lies from the shape; NaN where a set has no such point."""
    squared = (laid - shape).square().sum(dim=-1)
    # Doubled where: the root has an infinite slope at zero, and the unknown none at all.
    far = known & (squared > 0)
    length = torch.where(far, torch.where(far, squared, 1.0).sqrt(), 0.0)
    return torch.where(known & squared.isfinite(), length, torch.nan)


def _first(transforms: Similarity) -> Similarity:
    return Similarity(
        rotation=transforms.rotation[..., 0, :, :],
        translation=transforms.translation[..., 0, :],
        scale=transforms.scale[..., 0],
    )


def _cast(transforms: Similarity, dtype: torch.dtype) -> Similarity:
    return Similarity(
        rotation=transforms.rotation.to(dtype),
        translation=transforms.translation.to(dtype),
        scale=transforms.scale.to(dtype),
    )
