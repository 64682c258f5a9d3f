"""Epipolar geometry of two views: fundamental and essential matrices, lines and distances."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels.engines import wide_dtype
from multiview_geom._validation import (
    broadcast_axes,
    for_computation,
    product,
    require_floating,
    require_same_size,
    require_trailing_shape,
)
from multiview_geom._vectors import replace_missing
from multiview_geom.transforms import relative_transform

FIRST_AXIS, SECOND_AXIS = (0, 2, 0, 1, 1, 2), (1, 0, 3, 2, 3, 3)
"""The two axes of each Plücker coordinate of a line, ordered so that the product of two lines is
the inner product of one and the other reversed."""
ROUND_OFFS = 16.0
"""A sum below this many round-offs of the sum of its absolute terms counts as zero."""


def fundamental_from_projections(
    first: Float[Tensor, "*#batch 3 4"], second: Float[Tensor, "*#batch 3 4"]
) -> Float[Tensor, "*#batch 3 3"]:
    """Compute the fundamental matrix F of two views: `x_second^T F x_first = 0`.

    Args:
        first: World-to-pixel matrix of the first view, of any scale or sign.
        second: World-to-pixel matrix of the second view, of any scale or sign.

    Returns:
        F with Frobenius norm 1. Its sign is that of `K_second^-T [t]_x R K_first^-1`, with R and t
        from the first camera to the second, so exchanged views give exactly the transposed
        matrix. NaN, with zero gradient, if both cameras have the same center up to round-off, or
        if a projection is not finite: all pairs of pixels on the same ray then match, and no F
        describes them.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), eq. 17.3: entry (j, i) is the
        determinant of two rows of each projection. There is no division.

    Example:
        >>> first, second = torch.eye(3, 4), torch.eye(3, 4)
        >>> second[0, 3] = -1.0
        >>> (2**0.5 * fundamental_from_projections(first, second)).round(decimals=4) + 0.0
        tensor([[ 0.,  0.,  0.],
                [ 0.,  0.,  1.],
                [ 0., -1.,  0.]])
    """
    require_trailing_shape("first", first, 3, 4)
    require_trailing_shape("second", second, 3, 4)
    require_floating(first=first, second=second)
    broadcast_axes(first=first.shape[:-2], second=second.shape[:-2])
    one, one_known = replace_missing(_unit_scale(first), 2)
    two, two_known = replace_missing(_unit_scale(second), 2)
    matrix = pair_rays(one, two)
    terms, other_terms = (_lines(each.detach().abs(), 1.0) for each in (one, two))
    bound = product(other_terms, terms.flip(-1).mT)
    zero = _vanishes(matrix, bound, first).all(dim=-1, keepdim=True).all(dim=-2, keepdim=True)
    known = one_known & two_known & ~zero
    # Double `where`: the norm has an infinite slope at zero.
    safe = torch.where(known, matrix, 1.0)
    norm = safe.square().sum(dim=(-2, -1), keepdim=True).sqrt()
    return torch.where(known, safe / norm, torch.nan).to(first.dtype)


def essential_from_transforms(
    first_from_world: Float[Tensor, "*#batch 4 4"], second_from_world: Float[Tensor, "*#batch 4 4"]
) -> Float[Tensor, "*#batch 3 3"]:
    """Compute the essential matrix of two cameras: E = [t]_x R.

    R and t are the transform from the first camera to the second. For the normalized image points
    `x = K^-1 (u, v, 1)`, `x_second^T E x_first = 0`.

    Args:
        first_from_world: Rigid transform of the first camera.
        second_from_world: Rigid transform of the second camera.

    Returns:
        E, of Frobenius norm sqrt(2) times the distance of the centers [unit of the translations]:
        zero if both cameras have the same center. NaN, with zero gradient, if a transform is not
        finite.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), sec. 9.6.

    Example:
        >>> first, second = torch.eye(4), torch.eye(4)
        >>> second[0, 3] = -2.0
        >>> essential_from_transforms(first, second) + 0.0
        tensor([[ 0.,  0.,  0.],
                [ 0.,  0.,  2.],
                [ 0., -2.,  0.]])
    """
    require_trailing_shape("first_from_world", first_from_world, 4, 4)
    require_trailing_shape("second_from_world", second_from_world, 4, 4)
    require_floating(first_from_world=first_from_world, second_from_world=second_from_world)
    wide = wide_dtype(first_from_world)
    pose = relative_transform(second_from_world.to(wide), first_from_world.to(wide))
    return cross_rotation(pose).to(first_from_world.dtype)


def epipolar_lines(
    fundamental: Float[Tensor, "*#batch 3 3"], pixels: Float[Tensor, "*#batch points 2"]
) -> Float[Tensor, "*#batch points 3"]:
    """Compute the line in the second view on which the match of each pixel must be.

    Args:
        fundamental: F with `x_second^T F x_first = 0`, of any scale. Pass `F.mT` for the lines in
            the first view of pixels in the second.
        pixels: Pixels in the first view [px].

    Returns:
        Lines (a, b, c) with `a² + b² = 1`, so that `a u + b v + c` is the signed distance of the
        pixel (u, v) from the line [px]. A pixel in the epipole, which has no line, and a pixel
        that is not finite are NaN, with zero gradient.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), sec. 9.2.

    Example:
        >>> stereo = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 3.0], [0.0, -3.0, 0.0]])
        >>> epipolar_lines(stereo, torch.tensor([[200.0, 50.0]])) + 0.0
        tensor([[  0.,   1., -50.]])
    """
    _require_matches(fundamental, pixels=pixels)
    (F, F_known), (x, x_known) = _finite(fundamental, pixels)
    lines, zero = _lines_of(F, x, pixels)
    known = F_known & x_known & ~zero
    # Double `where`: a line without a direction would turn its gradient into NaN.
    safe = torch.where(known, lines, 1.0)
    norm = safe[..., :2].square().sum(dim=-1, keepdim=True).sqrt()
    return torch.where(known, safe / norm, torch.nan).to(pixels.dtype)


def sampson_distance(
    fundamental: Float[Tensor, "*#batch 3 3"],
    pixels: Float[Tensor, "*#batch points 2"],
    other_pixels: Float[Tensor, "*#batch points 2"],
) -> Float[Tensor, "*#batch points"]:
    """Compute the signed Sampson distance of pairs of pixels from the epipolar constraint.

    Its absolute value is, to first order, the square root of the least sum of squared moves of
    both pixels that makes their rays intersect. With independent noise of standard deviation
    sigma in every pixel coordinate, the distance has standard deviation sigma.

    Args:
        fundamental: F with `x_other^T F x = 0`, of any scale.
        pixels: Pixels in the first view [px].
        other_pixels: The corresponding pixels in the second view [px].

    Returns:
        Distances [px], with the sign of `x_other^T F x`: they have a gradient at zero too, unlike
        their absolute values. NaN, with zero gradient, where a pixel is not finite, or where both
        pixels are in the epipoles.

    Raises:
        ValueError: If a shape or dtype disagrees.

    Reference:
        Hartley and Zisserman, Multiple View Geometry (2nd ed.), eq. 11.9: the terms of its sum are
        the squares of these distances.

    Example:
        >>> stereo = torch.tensor([[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
        >>> left, right = torch.tensor([[200.0, 50.0]]), torch.tensor([[180.0, 54.0]])
        >>> sampson_distance(stereo, left, right).abs()  # each moves by 2 px
        tensor([2.8284])
    """
    _require_matches(fundamental, pixels=pixels, other_pixels=other_pixels)
    require_same_size("points", pixels=pixels.shape[-2], other_pixels=other_pixels.shape[-2])
    (F, F_known), (x, x_known), (y, y_known) = _finite(fundamental, pixels, other_pixels)
    lines, zero = _lines_of(F, x, pixels)
    back, back_zero = _lines_of(F.mT, y, pixels)
    known = (F_known & x_known & y_known)[..., 0] & ~(zero & back_zero)[..., 0]
    error = (torch.nn.functional.pad(y, (0, 1), value=1.0) * lines).sum(dim=-1)
    squared = lines[..., :2].square().sum(dim=-1) + back[..., :2].square().sum(dim=-1)
    # Double `where`: two epipoles would turn the gradient into NaN.
    distance = torch.where(known, error, 0.0) / torch.where(known, squared, 1.0).sqrt()
    return torch.where(known, distance, torch.nan).to(pixels.dtype)


def pair_rays(
    first: Float[Tensor, "*#batch 3 4"], second: Float[Tensor, "*#batch 3 4"]
) -> Float[Tensor, "*#batch 3 3"]:
    """Return F as a polynomial of the projections: `x_second^T F x_first` is zero if rays meet."""
    return -product(_lines(second, -1.0), _lines(first, -1.0).flip(-1).mT)


def cross_rotation(pose: Float[Tensor, "*batch 4 4"]) -> Float[Tensor, "*batch 3 3"]:
    """Return [t]_x R of a rigid transform."""
    essential: Tensor = torch.linalg.cross(pose[..., :3, 3:], pose[..., :3, :3], dim=-2)
    return essential


def _lines(rows: Float[Tensor, "*batch 3 4"], sign: float) -> Float[Tensor, "*batch 3 6"]:
    """Return the Plücker coordinates of the lines where two planes, rows of P, meet."""
    one, two = rows.roll(-1, dims=-2), rows.roll(-2, dims=-2)
    straight = one[..., FIRST_AXIS] * two[..., SECOND_AXIS]
    return straight + sign * (one[..., SECOND_AXIS] * two[..., FIRST_AXIS])


def _lines_of(
    fundamental: Float[Tensor, "*#batch 3 3"],
    pixels: Float[Tensor, "*#batch points 2"],
    given: Tensor,
) -> tuple[Float[Tensor, "*#batch points 3"], Bool[Tensor, "*#batch points 1"]]:
    """Return F x, and which of them have no direction up to the round-off of the given pixels."""
    homogeneous = torch.nn.functional.pad(pixels, (0, 1), value=1.0)
    lines = product(homogeneous, fundamental.mT)
    bound = product(homogeneous.detach().abs(), fundamental.detach().abs().mT)
    vanishes = _vanishes(lines, bound, given)[..., :2].all(dim=-1, keepdim=True)
    return lines, vanishes


def _vanishes(
    value: Float[Tensor, "*batch"], bound: Float[Tensor, "*batch"], given: Tensor
) -> Bool[Tensor, "*batch"]:
    """Test what is zero up to the round-off of the given argument."""
    return (
        value.detach().abs() <= ROUND_OFFS * torch.finfo(for_computation(given).dtype).eps * bound
    )


def _unit_scale(projections: Float[Tensor, "*batch 3 4"]) -> Float[Tensor, "*batch 3 4"]:
    """Divide each projection by its largest entry, a constant: products cannot overflow."""
    wide = projections.to(wide_dtype(projections))
    largest = wide.detach().abs().amax(dim=(-2, -1), keepdim=True)
    return wide / torch.where(largest > 0, largest, 1.0)


def _require_matches(fundamental: Tensor, **pixels: Tensor) -> None:
    require_trailing_shape("fundamental", fundamental, 3, 3)
    for name, tensor in pixels.items():
        require_trailing_shape(name, tensor, "points", 2)
    require_floating(fundamental=fundamental, **pixels)
    leading = {name: tensor.shape[:-2] for name, tensor in pixels.items()}
    broadcast_axes(fundamental=fundamental.shape[:-2], **leading)


def _finite(
    fundamental: Tensor, *pixels: Tensor
) -> list[tuple[Float[Tensor, "*shape"], Bool[Tensor, "*one_per_element"]]]:
    """Return the arguments in the dtype to compute in, zero where they are not finite."""
    wide = wide_dtype(fundamental)
    return [
        replace_missing(fundamental.to(wide), 2),
        *(replace_missing(image.to(wide), 1) for image in pixels),
    ]
