"""Relative pose of two calibrated cameras from matched pixels, with outliers among the matches."""

from functools import partial
from math import prod
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from multiview_geom._kernels.engines import wide_dtype
from multiview_geom._kernels.rotation.autograd import nearest_rotation
from multiview_geom._validation import (
    broadcast_axes,
    full_precision,
    product,
    require_at_least,
    require_floating,
    require_generator,
    require_positive,
    require_trailing_shape,
)
from multiview_geom._vectors import length, unit
from multiview_geom.epipolar import cross_rotation, sampson_distance
from multiview_geom.homogeneous import from_homogeneous, to_homogeneous
from multiview_geom.rotations import rotation_from_vector
from multiview_geom.transforms import rigid_transform

SAMPLE = 5
"""Number of matches that determine an essential matrix, up to ten solutions."""
FEWEST_INLIERS = SAMPLE + 1
"""Any five matches fit some pose: one more must agree."""
SCORED = 512
"""Number of matches, drawn at random, that score all candidates."""
KEPT = 8
"""Number of best candidates that are scored with all matches, and refined."""
WIDENINGS = (2.0, 1.4, 1.0, 1.0)
"""Factor on the threshold in each round of refinement: the first poses are not exact."""
STEPS = 3
"""Number of Gauss-Newton steps in a round."""
PARALLAX = 2.0
"""Number of thresholds by which an inlier must move, if the baseline is to be determined."""
SHARE_WITH_PARALLAX = 0.01
"""Least share of such inliers."""
WIDTH = 0.5
"""RMS distance of pixels from their line, in thresholds, below which they are on that line."""


class RelativePose(NamedTuple):
    """The second camera's pose in the frame of the first, its inliers, and all distances [px].

    Example:
        >>> from multiview_geom import project_points, ring_of_cameras
        >>> rig = ring_of_cameras(4, radius=4.0, height=1.0)
        >>> points = torch.cartesian_prod(*[torch.tensor([-0.5, 0.1, 0.4])] * 3)
        >>> pixels = project_points(rig.projections, points)
        >>> pixels[1, 3] += 100.0  # an outlier
        >>> found = relative_pose(rig.intrinsics[:2], pixels[:2], threshold=1.0)
        >>> found.inliers.sum(), found.inliers[3]
        (tensor(26), tensor(False))
    """

    second_from_first: Float[Tensor, "*batch 4 4"]
    inliers: Bool[Tensor, "*batch points"]
    distances: Float[Tensor, "*batch points"]


def relative_pose(
    intrinsics: Float[Tensor, "*#batch 2 3 3"],
    pixels: Float[Tensor, "*#batch 2 points 2"],
    *,
    threshold: float,
    weights: Float[Tensor, "*#batch 2 points"] | None = None,
    samples: int = 256,
    generator: torch.Generator | None = None,
) -> RelativePose:
    """Estimate the pose of a second camera in the frame of a first one, from matched pixels.

    Random samples of five matches give candidates (RANSAC). The candidate with the largest sum of
    `weight * (threshold² - distance²)` over the matches within the threshold and in front of both
    cameras is selected. It is refined by Gauss-Newton steps on the Sampson distances of these
    matches.

    Args:
        intrinsics: Camera matrix K of each of the two views.
        pixels: Pixel of each point in each view, without lens distortion [px].
        threshold: Largest absolute Sampson distance of an inlier [px]. Use three standard
            deviations of the detector's noise.
        weights: Weight of each detection, >= 0: an inverse variance. A match has the harmonic mean
            of its two weights, so that a detection of weight zero or less removes it. 1 by default.
        samples: Number of samples of five matches. With a share of w inliers, all samples contain
            an outlier with probability `(1 - w^5)^samples`.
        generator: Source of the random samples, on the CPU. By default, one with a fixed seed: the
            result is the same in each call.

    Returns:
        `second_from_first`, whose translation has length one because the images do not show the
        scale, whether each match is an inlier, and the signed Sampson distance of each match [px].

    Raises:
        ValueError: If a shape or dtype disagrees, `threshold` or `samples` is not positive, or an
            argument is of another kind.

    Note:
        A pixel that is not finite counts as weight zero. The pose is NaN, without inliers, if
        fewer than six matches agree, if a rotation alone explains them (two cameras with the same
        center, or far points), or if they leave a direction of the pose free (points on a line).
        If all points are in one plane, two poses can explain them, and either can be returned.
        No result has a gradient. Each element of a batch is estimated on its own, from the same
        random numbers.

    Reference:
        Nistér, An efficient solution to the five-point relative pose problem, PAMI 2004, in
        kornia's implementation; the score is MSAC: Torr and Zisserman, MLESAC, CVIU 2000.

    Example:
        >>> from multiview_geom import project_points, relative_transform, ring_of_cameras
        >>> rig = ring_of_cameras(4, radius=4.0, height=1.0, dtype=torch.float64)
        >>> points = torch.cartesian_prod(*[torch.tensor([-0.5, 0.1, 0.4]).double()] * 3)
        >>> pixels = project_points(rig.projections, points)
        >>> found = relative_pose(rig.intrinsics[:2], pixels[:2], threshold=1.0)
        >>> truth = relative_transform(rig.camera_from_world[1], rig.camera_from_world[0])
        >>> truth[:3, 3] /= truth[:3, 3].norm()
        >>> torch.allclose(found.second_from_first, truth)
        True
    """
    batch = _require_matches(intrinsics, pixels, weights)
    require_positive("threshold", threshold)
    require_at_least("samples", samples, 1)
    require_generator("generator", generator)
    points = pixels.shape[-2]
    numbers = _random_numbers(samples, points, generator)
    with torch.no_grad(), full_precision(pixels):
        wide = wide_dtype(pixels)
        size = prod(batch)
        K = intrinsics.to(wide).expand(*batch, 2, 3, 3).reshape(size, 2, 3, 3)
        image = pixels.to(wide).expand(*batch, 2, points, 2).reshape(size, 2, points, 2)
        trust = _match_weights(pixels, weights).to(wide).expand(*batch, points)
        trust = trust.reshape(size, points)
        solve = partial(_estimate, threshold=float(threshold), numbers=numbers)
        found = [solve(_Views(*each)) for each in zip(K, image, trust, strict=True)]
    shapes = ((4, 4), (points,), (points,))
    empty = (pixels.new_empty(0), torch.empty(0, dtype=torch.bool, device=pixels.device))
    columns = list(zip(*found, strict=True)) or [(), (), ()]
    pose, inliers, distances = (
        (torch.stack(column) if column else empty[at == 1]).reshape(*batch, *shape)
        for at, (column, shape) in enumerate(zip(columns, shapes, strict=True))
    )
    return RelativePose(pose.to(pixels.dtype), inliers, distances.to(pixels.dtype))


class _Views(NamedTuple):
    """Two views of some matches; the weight of a missing one is zero."""

    intrinsics: Float[Tensor, "2 3 3"]
    pixels: Float[Tensor, "2 points 2"]
    trust: Float[Tensor, "points"]

    def keep(self, kept: Tensor) -> "_Views":
        return self._replace(pixels=self.pixels[:, kept], trust=self.trust[kept])

    @property
    def back(self) -> Float[Tensor, "2 3 3"]:
        """The inverses of the intrinsics."""
        inverse: Tensor = torch.linalg.inv_ex(self.intrinsics).inverse
        return inverse

    @property
    def rays(self) -> Float[Tensor, "2 points 3"]:
        """The directions of the pixels in the camera frames, of depth one."""
        return product(to_homogeneous(self.pixels), self.back.mT)

    def distances(self, essential: Float[Tensor, "*models 3 3"]) -> Float[Tensor, "*models points"]:
        """Return the signed Sampson distances [px]."""
        first, second = self.back
        return sampson_distance(product(product(second.mT, essential), first), *self.pixels)

    def squared_distances(
        self, essential: Float[Tensor, "models 3 3"]
    ) -> Float[Tensor, "models points"]:
        """Return the squared Sampson distances of many models, without a test for epipoles."""
        first, second = self.back
        F = product(product(second.mT, essential), first)
        x, y = to_homogeneous(self.pixels).mT
        error = product(F.flatten(1), (y[:, None] * x).flatten(0, 1))
        slopes = (product(each[:, :2], z).square() for each, z in ((F, x), (F.mT, y)))
        return error.square() / sum(slope.sum(dim=1) for slope in slopes)

    def gains(self, squared: Float[Tensor, "*models points"], threshold: float) -> Tensor:
        """Return how far below the threshold each squared distance is, weighted; zero above it."""
        below = threshold**2 - squared
        return self.trust * torch.where(below > 0, below, 0.0)

    def in_front(self, poses: Float[Tensor, "*models 4 4"]) -> Bool[Tensor, "*models points"]:
        """Test where the two rays of a match come closest in front of both cameras."""
        x, y = self.rays
        x = product(x, poses[..., :3, :3].mT)
        t = poses[..., None, :3, 3].expand_as(x)
        normal = torch.linalg.cross(x, y.expand_as(x))
        depth = (torch.linalg.cross(y.expand_as(x), t) * normal).sum(dim=-1)
        other_depth = (torch.linalg.cross(x, t) * normal).sum(dim=-1)
        front: Tensor = (depth > 0) & (other_depth > 0)
        return front


def _estimate(
    views: _Views, threshold: float, numbers: "_Numbers"
) -> tuple[Float[Tensor, "4 4"], Bool[Tensor, "points"], Float[Tensor, "points"]]:
    """Estimate one pose; NaN and no inliers where the matches do not determine it."""
    usable = views.keep(views.trust > 0)
    pose = views.pixels.new_full((4, 4), torch.nan)
    if len(usable.trust) >= FEWEST_INLIERS and views.back.isfinite().all():
        pose = _refined(usable, _best_candidate(usable, threshold, numbers), threshold)
    off = views.distances(cross_rotation(pose))
    inliers = (off.abs() <= threshold) & views.in_front(pose) & (views.trust > 0)
    if not _is_determined(views.keep(inliers), threshold):
        return torch.full_like(pose, torch.nan), torch.zeros_like(inliers), off * torch.nan
    return pose, inliers, off


def _best_candidate(views: _Views, threshold: float, numbers: "_Numbers") -> Float[Tensor, "4 4"]:
    """Select the candidate with the largest gain; NaN if no sample has a solution."""
    from kornia.geometry.epipolar import find_essential, motion_from_essential

    some = numbers.samples(len(views.trust)).to(views.trust.device)
    x, y = (rays[..., :2][some] for rays in views.rays)
    models = find_essential(x, y).flatten(0, 1)
    models = models[models.isfinite().all(dim=-1).all(dim=-1)]
    part = views.keep(numbers.scored(len(views.trust)).to(some.device))
    gain = part.gains(part.squared_distances(models), threshold).sum(dim=-1)
    best = models[gain.topk(min(KEPT, len(models))).indices]
    if not len(best):
        return views.pixels.new_full((4, 4), torch.nan)
    R, t = motion_from_essential(best)
    poses = rigid_transform(R, t[..., 0]).flatten(0, 1)
    return poses[_gain(views, poses, threshold).argmax()]


def _gain(
    views: _Views, poses: Float[Tensor, "*models 4 4"], threshold: float
) -> Float[Tensor, "*models"]:
    """Sum the gains of the matches in front of both cameras."""
    gains = views.gains(views.distances(cross_rotation(poses)).square(), threshold)
    return torch.where(views.in_front(poses), gains, 0.0).sum(dim=-1)


def _refined(views: _Views, pose: Float[Tensor, "4 4"], threshold: float) -> Float[Tensor, "4 4"]:
    """Minimize the squared distances of the inliers; keep a round that does not lower the gain."""
    best, gain = pose, _gain(views, pose, threshold)
    for widening in WIDENINGS:
        off = views.distances(cross_rotation(best)).abs()
        inliers = views.keep((off <= widening * threshold) & views.in_front(best))
        if len(inliers.trust) < SAMPLE:
            break
        trial = best
        for _ in range(STEPS):
            trial = _gauss_newton_step(inliers, trial)
        trial_gain = _gain(views, trial, threshold)
        best, gain = (trial, trial_gain) if trial_gain >= gain else (best, gain)
    return best


def _gauss_newton_step(views: _Views, pose: Float[Tensor, "4 4"]) -> Float[Tensor, "4 4"]:
    """Take a step in the rotation and in the direction of the translation."""
    off, jacobian = _linearized(views, pose)
    weighted = views.trust * jacobian
    hessian = product(weighted, jacobian.mT)
    floor = torch.finfo(pose.dtype).eps * hessian.diagonal().sum() * torch.eye(SAMPLE).to(hessian)
    step, failed = torch.linalg.solve_ex(hessian + floor, product(weighted, off[:, None]))
    return pose if failed else _moved(pose, -step[:, 0])


def _linearized(
    views: _Views, pose: Float[Tensor, "4 4"]
) -> tuple[Float[Tensor, "points"], Float[Tensor, "5 points"]]:
    """Return the Sampson distances, and their derivatives by the five parameters of a pose."""
    first, second = views.back
    essential = torch.cat([cross_rotation(pose)[None], _essential_derivatives(pose)])
    F = product(product(second.mT, essential), first)
    x, y = to_homogeneous(views.pixels)
    lines, back = product(x, F.mT), product(y, F)
    error = (y * lines).sum(dim=-1)
    both = torch.cat([lines[..., :2], back[..., :2]], dim=-1)
    along = (both[0] * both).sum(dim=-1)
    squared = along[0].clamp(min=torch.finfo(along.dtype).tiny)
    off = error[0] / squared.sqrt()
    return off, error[1:] / squared.sqrt() - off * along[1:] / squared


def _essential_derivatives(pose: Float[Tensor, "4 4"]) -> Float[Tensor, "5 3 3"]:
    """Differentiate [t]_x R by the rotation vector and the tangents of `_moved`."""
    R, t = pose[:3, :3], pose[:3, 3]
    turned = _cross_columns(torch.eye(3).to(R), R.expand(3, 3, 3))
    by_turn = _cross_columns(t.expand(3, 3), turned)
    return torch.cat([by_turn, _cross_columns(_tangent(t).mT, R.expand(2, 3, 3))])


def _cross_columns(
    vectors: Float[Tensor, "n 3"], matrices: Float[Tensor, "n 3 3"]
) -> Float[Tensor, "n 3 3"]:
    crossed: Tensor = torch.linalg.cross(vectors[..., None].expand_as(matrices), matrices, dim=-2)
    return crossed


def _moved(pose: Float[Tensor, "4 4"], move: Float[Tensor, "5"]) -> Float[Tensor, "4 4"]:
    """Turn by a rotation vector, and move the unit translation in its tangent plane."""
    rotation = product(rotation_from_vector(move[:3]), pose[:3, :3])
    t = pose[:3, 3]
    return rigid_transform(rotation, unit(t + product(_tangent(t), move[3:, None])[:, 0]))


def _tangent(t: Float[Tensor, "3"]) -> Float[Tensor, "3 2"]:
    """Return two directions perpendicular to a unit vector and to each other."""
    axis = torch.zeros_like(t).scatter(0, t.abs().argmin(dim=0, keepdim=True), 1.0)
    across = unit(torch.linalg.cross(t, axis))
    return torch.stack([across, torch.linalg.cross(t, across)], dim=-1)


def _is_determined(inliers: _Views, threshold: float) -> bool:
    """Test whether enough matches agree that are neither a rotation's nor points on a line."""
    if len(inliers.trust) < FEWEST_INLIERS:
        return False
    apart = inliers.pixels - inliers.pixels.mean(dim=-2, keepdim=True)
    across = torch.linalg.svdvals(apart)[:, -1] / len(inliers.trust) ** 0.5
    count = int((_rotation_errors(inliers) > PARALLAX * threshold).sum())
    enough = max(FEWEST_INLIERS, SHARE_WITH_PARALLAX * len(inliers.trust))
    return count >= enough and bool((across > WIDTH * threshold).any())


def _rotation_errors(views: _Views) -> Float[Tensor, "points"]:
    """Return how far each match is from the best rotation about one common center [px]."""
    x, y = unit(views.rays)
    turn = nearest_rotation(product((views.trust[:, None] * y).mT, x)[None])[0]
    seen = product(product(x, turn.mT), views.intrinsics[1].mT)
    return length(from_homogeneous(seen) - views.pixels[1])


class _Numbers(NamedTuple):
    """Uniform random numbers in [0, 1), for the samples and for the matches that score."""

    for_samples: Float[Tensor, "samples 5"]
    for_scored: Float[Tensor, "scored"]

    def samples(self, count: int) -> Int[Tensor, "samples 5"]:
        """Draw five different matches for each sample."""
        picks: list[Tensor] = []
        for number in self.for_samples.unbind(dim=-1):
            pick = (number * (count - len(picks))).long()
            # The numbers of the matches that are left: skip the earlier picks, in their order.
            for earlier in torch.stack(picks, -1).sort(dim=-1).values.unbind(-1) if picks else ():
                pick = pick + (pick >= earlier)
            picks.append(pick)
        return torch.stack(picks, dim=-1)

    def scored(self, count: int) -> Int[Tensor, "scored"]:
        """Draw the matches that score; all of them if they are few."""
        if count <= SCORED:
            return torch.arange(count)
        return (self.for_scored * count).long()


def _random_numbers(samples: int, points: int, generator: torch.Generator | None) -> _Numbers:
    source = torch.Generator().manual_seed(0) if generator is None else generator
    sizes = ((samples, SAMPLE), (min(points, SCORED),))
    return _Numbers(*(torch.rand(size, generator=source, dtype=torch.float64) for size in sizes))


def _require_matches(intrinsics: Tensor, pixels: Tensor, weights: Tensor | None) -> tuple[int, ...]:
    require_trailing_shape("intrinsics", intrinsics, 2, 3, 3)
    require_trailing_shape("pixels", pixels, 2, "points", 2)
    require_floating(intrinsics=intrinsics, pixels=pixels)
    leading = {"intrinsics": intrinsics.shape[:-3], "pixels": pixels.shape[:-3]}
    if weights is not None:
        require_trailing_shape("weights", weights, 2, pixels.shape[-2])
        require_floating(pixels=pixels, weights=weights)
        leading["weights"] = weights.shape[:-2]
    return broadcast_axes(**leading)


def _match_weights(pixels: Tensor, weights: Tensor | None) -> Float[Tensor, "*batch points"]:
    """Return the harmonic mean of the two weights of each match; zero where a pixel is missing."""
    seen = pixels.isfinite().all(dim=-1).all(dim=-2)
    if weights is None:
        return seen.to(pixels.dtype)
    one, other = weights.to(wide_dtype(weights)).unbind(dim=-2)
    known = seen & (one > 0) & (other > 0) & (one < torch.inf) & (other < torch.inf)
    return torch.where(known, 2 / (1 / one + 1 / other), 0.0)
