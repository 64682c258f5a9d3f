"""What cameras of unknown pose saw of the same points."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multiview_geom._kernels.engines import wide_dtype
from multiview_geom._validation import require_floating, require_trailing_shape
from multiview_geom.cameras import Cameras
from multiview_geom.projection import reprojection_error
from multiview_geom.triangulation.iterative import triangulate_iterative
from multiview_geom.triangulation.robust import RobustPoints, triangulate_robust

FEWEST_VIEWS = 2
FEWEST_SHARED = 6
"""Any five points fit some pose of two cameras: one more must agree."""
OUTLIER = 4.0
"""Residual of an outlier, in standard deviations of the noise."""
PASSES = 2
"""Number of times that outliers are removed and the noise is estimated anew."""
LEAST_NOISE_PX = 1e-6
"""A smaller noise is round-off."""
MEDIAN_OF_SQUARES = 1.3863
"""Median of the squared length of a normal vector in the plane, per squared deviation: 2 ln 2."""


@dataclass(frozen=True)
class Observations:
    """Detections of points in views, whose poses may be unknown.

    Attributes:
        cameras: The rig; NaN in the poses that are not known.
        pixels: The detections, with lens distortion [px].
        ideal: The same without lens distortion.
        trust: Their weights; zero where missing.
    """

    cameras: Cameras
    pixels: Float[Tensor, "views points 2"]
    ideal: Float[Tensor, "views points 2"]
    trust: Float[Tensor, "views points"]

    @property
    def placed(self) -> list[int]:
        """The views whose poses are known."""
        known = self.cameras.camera_from_world.isfinite().flatten(1).all(dim=-1)
        return known.nonzero()[:, 0].tolist()

    def shared(self, *views: int) -> Int[Tensor, "points"]:
        """Return the numbers of the points that all these views saw."""
        return (self.trust[list(views)] > 0).all(dim=0).nonzero()[:, 0]

    def take(self, points: Int[Tensor, "some"]) -> "Observations":
        """Return the observations of some points."""
        return replace(
            self,
            pixels=self.pixels[:, points],
            ideal=self.ideal[:, points],
            trust=self.trust[:, points],
        )

    def thinned(self, most: int) -> "Observations":
        """Return the observations of at most so many points, those that most placed views saw.

        Each placed view gets its share of them, also if it saw few points.
        """
        seen = self.trust[self.placed] > 0
        views = seen.sum(dim=0)
        usable = (views > 1).nonzero()[:, 0]
        if len(usable) <= most:
            return self.take(usable)
        # Of points that as many views saw, those that are spread evenly over all.
        order = usable[spread_evenly(len(usable), len(usable)).to(usable.device)]
        ranked = order[views[order].argsort(descending=True, stable=True)]
        kept = torch.zeros_like(views, dtype=torch.bool)
        for own in seen:
            kept[ranked[own[ranked]][: most // len(seen)]] = True
        rest = ranked[~kept[ranked]]
        kept[rest[: most - int(kept.sum())]] = True
        return self.take(kept.nonzero()[:, 0])

    def select(self, views: list[int]) -> "Observations":
        """Return the observations of some views."""
        return replace(
            self,
            cameras=self.cameras.select(views),
            pixels=self.pixels[views],
            ideal=self.ideal[views],
            trust=self.trust[views],
        )

    def with_cameras(self, cameras: Cameras) -> "Observations":
        """Return the observations with other cameras, whose lenses may have changed."""
        ideal = cameras.undistort(self.pixels)
        known = ideal.valid & (self.trust > 0)
        trust = torch.where(known, self.trust, 0.0)
        return replace(self, cameras=cameras, ideal=ideal.pixels, trust=trust)

    def with_pose(self, view: int, pose: Float[Tensor, "4 4"]) -> "Observations":
        """Return the observations with the pose of a view."""
        poses = self.cameras.camera_from_world.clone()
        poses[view] = pose
        return replace(self, cameras=replace(self.cameras, camera_from_world=poses))

    def triangulated(self, threshold: float) -> RobustPoints:
        """Triangulate from the views whose poses are known, without outliers."""
        seen = self.select(self.placed)
        return triangulate_robust(
            seen.cameras.projections, seen.ideal, threshold=threshold, weights=seen.trust
        )

    def without_outliers(self) -> tuple[RobustPoints, float]:
        """Triangulate without outliers; return also the standard deviation of the noise [px].

        The first estimate of the noise is that of least squares, which outliers enlarge.
        """
        seen = self.select(self.placed)
        projections = seen.cameras.projections
        points = triangulate_iterative(projections, seen.ideal, weights=seen.trust)
        noise = seen.noise(reprojection_error(projections, points, seen.ideal))
        for _ in range(PASSES):
            found = self.triangulated(OUTLIER * noise)
            noise = seen.noise(found.residuals)
        return found, noise

    def disagreeing(self, found: RobustPoints) -> list[str]:
        """Return the names of views that agree with the others on too few points."""
        counts = found.inliers.sum(dim=-1).tolist()
        names = (self.cameras.names[view] for view in self.placed)
        return [name for name, n in zip(names, counts, strict=True) if n < FEWEST_SHARED]

    def noise(self, residuals: Float[Tensor, "views points"]) -> float:
        """Estimate the standard deviation of the noise in a pixel coordinate [px].

        The median of the residuals of all detections is used, outliers too. A point that n views
        saw has 2 n coordinates and 3 unknowns: its residuals are smaller than the noise. Without
        any residual the noise is infinite: the cameras agree on nothing.
        """
        seen = (self.trust > 0) & residuals.isfinite()
        views = seen.sum(dim=0)
        squared = (residuals.square() / (1 - 1.5 / views.clamp(min=2)))[seen]
        if not len(squared):
            return torch.inf
        return max(float((squared.median() / MEDIAN_OF_SQUARES).sqrt()), LEAST_NOISE_PX)


def observations(cameras: Cameras, pixels: Tensor, weights: Tensor | None) -> Observations:
    """Check the detections of a rig, and return all frames as points of one."""
    require_trailing_shape("pixels", pixels, cameras.views, "points", 2)
    require_floating(pixels=pixels)
    if weights is not None:
        require_trailing_shape("weights", weights, *pixels.shape[-3:-1])
        require_floating(pixels=pixels, weights=weights)
    if cameras.views < FEWEST_VIEWS:
        raise ValueError(f"`cameras` must have two views or more, got {cameras.views}")
    wide = wide_dtype(pixels)
    image = pixels.to(wide).movedim(-3, 0).reshape(cameras.views, -1, 2)
    ideal = cameras.to(wide).undistort(image)
    known = ideal.valid & ideal.pixels.isfinite().all(dim=-1)
    trust = known.to(wide)
    if weights is not None:
        given = weights.to(wide).expand(pixels.shape[:-1]).movedim(-2, 0).reshape(trust.shape)
        trust = torch.where(known & (given > 0) & (given < torch.inf), given, 0.0)
        negative = (known & (given < 0)).any(dim=-1) & (trust == 0).all(dim=-1)
        for name, own in zip(cameras.names, negative.tolist(), strict=True):
            if own:
                raise ValueError(
                    f"`weights` must be >= 0, got negative ones and none above 0 in {name}: are "
                    "they logarithms of likelihoods?"
                )
    return Observations(cameras.to(wide), image, ideal.pixels, trust)


def spread_evenly(count: int, most: int) -> Int[Tensor, "some"]:
    """Return at most so many numbers below a count, of which every first part is spread evenly."""
    golden = 0.6180339887498949
    order = ((torch.arange(count, dtype=torch.float64) * golden) % 1.0).argsort()
    return order[:most]
