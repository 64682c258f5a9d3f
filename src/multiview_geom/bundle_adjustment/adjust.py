"""Bundle adjustment: cameras and points of least reprojection error."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom._kernels.engines import wide_dtype
from multiview_geom._validation import (
    full_precision,
    require_at_least,
    require_cameras,
    require_floating,
    require_items,
    require_trailing_shape,
)
from multiview_geom._vectors import length
from multiview_geom.bundle_adjustment.camera_parameters import (
    CameraParameter,
    FreeParameters,
    free_parameters,
)
from multiview_geom.bundle_adjustment.priors import Prior
from multiview_geom.bundle_adjustment.problem import Problem, Scene, descend
from multiview_geom.cameras import Cameras
from multiview_geom.triangulation.iterative import triangulate_iterative
from multiview_geom.triangulation.residual_losses import LinearLoss, Loss, require_loss

FEWEST_VIEWS = 2


class BundleAdjustment(NamedTuple):
    """Adjusted cameras and points, errors, covariances, and whether the minimum was found.

    The errors [px] are the distances of the pixels from the projections of their points; NaN
    where either is missing. The covariance of the free parameters of each camera is that of noise
    of the size of the residuals. `parameters` names its rows: rotation_x, ... [rad] about the
    camera's axes, center_x, ... along the world's axes, log_focal, principal_x, ... [px],
    distortion_1, ...

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> rig = ring_of_cameras(4, radius=4.0, height=1.0, dtype=torch.float64)
        >>> points = torch.cartesian_prod(*[torch.tensor([-0.5, 0.1, 0.4]).double()] * 3)
        >>> found = bundle_adjust(rig, rig.project(points).pixels)
        >>> found.parameters[:3], found.covariance.shape, found.converged
        (('rotation_x', 'rotation_y', 'rotation_z'), torch.Size([4, 6, 6]), True)
    """

    cameras: Cameras
    points: Float[Tensor, "*frames points 3"]
    errors: Float[Tensor, "*frames views points"]
    covariance: Float[Tensor, "views parameters parameters"]
    parameters: tuple[str, ...]
    converged: bool


def bundle_adjust(  # noqa: PLR0913 - three kinds of input, and what to do with them
    cameras: Cameras,
    pixels: Float[Tensor, "*frames views points 2"],
    *,
    points: Float[Tensor, "*frames points 3"] | None = None,
    weights: Float[Tensor, "*#frames views points"] | None = None,
    free: Collection[CameraParameter] = (CameraParameter.EXTRINSICS,),
    coefficients: Sequence[int] | None = None,
    loss: Loss = LinearLoss(),  # noqa: B008 - frozen
    priors: Sequence[Prior] = (),
    steps: int = 50,
) -> BundleAdjustment:
    """Adjust cameras and points together, so that the reprojection error is least.

    Minimizes the sum over all detections of `weight * loss(residual²)`. The residual is the
    distance between the detected pixel and `cameras.project`, which includes the lens. What is not
    free keeps its value: all terms of the distortion are applied, whether they are free or not.

    Args:
        cameras: The rig to start from, without batch axes.
        pixels: Detected pixel of each point in each view, with lens distortion [px]. All frames
            share the cameras; each frame has its own points.
        points: Initial points. Triangulated by default.
        weights: Weight of each detection, >= 0. A detection of weight zero or less is ignored. 1 by
            default.
        free: The parameters that may change, in all views.
        coefficients: The numbers of the lens coefficients that are free if the distortion is; all
            by default. Detections near the image center determine few of them: (0, 1) frees k1
            and k2.
        loss: The cost of a squared residual. `HuberLoss` and `CauchyLoss` reduce the influence of
            outliers.
        priors: What is known about the points beside their pixels, such as `BoneLengths`; its cost
            is added.
        steps: Largest number of damped Gauss-Newton steps.

    Returns:
        Cameras, points, errors and covariances. If the extrinsics are free, pixels do not show
        where the world's origin is, how its axes are oriented and what its unit of length is: the
        result has the world in which the cameras have moved least from the start.

    Raises:
        ValueError: If a shape or dtype disagrees, if nothing is free, if a camera is not finite,
            or if a view detected no point that another view detected too.

    Note:
        A pixel that is not finite counts as weight zero, and so does a pixel whose initial point
        is not visible in its view. A point that fewer than two views detected is NaN. The result
        has no gradient.
        The covariance is that of the pixels alone, and assumes independent noise. Errors of a
        detector are similar in successive frames: the true covariance is then larger.

    Reference:
        Triggs et al., Bundle adjustment, a modern synthesis, 2000: Schur complement (sec. 6.1),
        gauge (sec. 9), robust loss (sec. 3.3 and 4.3).

    Example:
        >>> from multiview_geom import ring_of_cameras
        >>> rig = ring_of_cameras(4, radius=4.0, height=1.0, dtype=torch.float64)
        >>> points = torch.cartesian_prod(*[torch.tensor([-0.5, 0.1, 0.4]).double()] * 3)
        >>> pixels = rig.project(points).pixels
        >>> longer = rig.intrinsics.clone()
        >>> longer[:, :2, :2] *= 1.1
        >>> start = Cameras(longer, rig.camera_from_world)
        >>> found = bundle_adjust(start, pixels, free={CameraParameter.FOCAL})
        >>> torch.allclose(found.cameras.intrinsics, rig.intrinsics)
        True
    """
    require_cameras("cameras", cameras)
    _require_detections(cameras, pixels, points, weights)
    require_at_least("steps", steps, 0)
    require_loss(loss)
    chosen = free_parameters(cameras, free, coefficients)
    frames, (views, count) = pixels.shape[:-3], pixels.shape[-3:-1]
    require_items("priors", priors, Prior, "priors, such as BoneLengths")
    for prior in priors:
        prior.require_shape(frames, count)
    with torch.no_grad(), full_precision(pixels):
        wide = wide_dtype(pixels)
        image = pixels.to(wide).movedim(-3, 0).reshape(views, -1, 2)
        trust = _trust(pixels, weights).to(wide).movedim(-2, 0).reshape(views, -1)
        start = None if points is None else points.to(wide).reshape(-1, 3)
        problem, scene = _set_up(cameras.to(wide), image, trust, start, chosen, loss)
        problem = replace(problem, priors=priors, frames=prod(frames))
        scene, converged = descend(problem, scene, steps)
        covariance = problem.covariance(scene)
        scene = problem.in_first_gauge(scene)
        known = (problem.trust > 0).any(dim=0)
        world = torch.where(known[:, None], scene.points, torch.nan)
        errors = length(problem.residuals(Scene(scene.cameras, world)).mT)
    dtype = pixels.dtype
    return BundleAdjustment(
        replace(scene.cameras.to(cameras.intrinsics.dtype), image_size=cameras.image_size),
        world.reshape(*frames, count, 3).to(dtype),
        errors.reshape(views, *frames, count).movedim(0, -2).to(dtype),
        covariance.to(dtype),
        chosen.names,
        converged,
    )


def _set_up(
    cameras: Cameras,
    image: Float[Tensor, "views points 2"],
    trust: Float[Tensor, "views points"],
    points: Float[Tensor, "points 3"] | None,
    chosen: FreeParameters,
    loss: Loss,
) -> tuple[Problem, Scene]:
    """Triangulate if there are no initial points, and remove what they do not explain."""
    if points is None:
        ideal = cameras.undistort(image)
        usable = torch.where(ideal.valid, trust, 0.0)
        points = triangulate_iterative(cameras.projections, ideal.pixels, weights=usable)
    visible = cameras.project(points).valid & points.isfinite().all(dim=-1)
    trust = torch.where(visible, trust, 0.0)
    trust = torch.where((trust > 0).sum(dim=0) >= FEWEST_VIEWS, trust, 0.0)
    _require_used_views(cameras, trust)
    known = (trust > 0).any(dim=0)
    middle = points[known].median(dim=0).values
    points = torch.where(known[:, None], points, middle)
    pixels = torch.where((trust > 0)[..., None], image, torch.nan)
    return Problem(pixels, trust, cameras, chosen, loss), Scene(cameras, points)


def _trust(pixels: Tensor, weights: Tensor | None) -> Float[Tensor, "*frames views points"]:
    """Return the weight of each detection; zero where it is missing."""
    seen = pixels.isfinite().all(dim=-1)
    if weights is None:
        return seen.to(pixels.dtype)
    return torch.where(seen & (weights > 0) & (weights < torch.inf), weights, 0.0)


def _require_detections(
    cameras: Cameras, pixels: Tensor, points: Tensor | None, weights: Tensor | None
) -> None:
    require_trailing_shape("pixels", pixels, cameras.views, "points", 2)
    require_floating(pixels=pixels)
    if cameras.projections.ndim > 3:  # noqa: PLR2004 - views, rows, columns
        shape = tuple(cameras.projections.shape[:-3])
        raise ValueError(f"`cameras` must have no batch axes: all frames share them, got {shape}")
    if points is not None:
        require_trailing_shape("points", points, *pixels.shape[:-3], pixels.shape[-2], 3)
        require_floating(pixels=pixels, points=points)
    if weights is not None:
        require_trailing_shape("weights", weights, *pixels.shape[-3:-1])
        require_floating(pixels=pixels, weights=weights)
    unknown = ~cameras.projections.isfinite().flatten(1).all(dim=-1)
    if unknown.any():
        raise ValueError(
            f"all `cameras` must be finite to start from, got NaN in {_named(cameras, unknown)}: "
            "find their poses first, with `calibrate_extrinsics` or `solve_pnp`"
        )


def _require_used_views(cameras: Cameras, trust: Float[Tensor, "views points"]) -> None:
    alone = ~(trust > 0).any(dim=-1)
    if alone.any():
        raise ValueError(
            f"each view must detect points that another view detected too, got none in "
            f"{_named(cameras, alone)}: leave out these cameras, or check their detections"
        )


def _named(cameras: Cameras, chosen: Bool[Tensor, "views"]) -> str:
    return ", ".join(name for name, one in zip(cameras.names, chosen, strict=True) if one)
