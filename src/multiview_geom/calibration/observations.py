"""What cameras of unknown pose saw of the same points."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multiview_geom.cameras import Cameras
from multiview_geom.triangulation.robust import RobustPoints, triangulate_robust

FEWEST_SHARED = 6
"""Any five points fit some pose of two cameras: one more must agree."""
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
        threshold: Largest residual of an inlier [px].
    """

    cameras: Cameras
    pixels: Float[Tensor, "views points 2"]
    ideal: Float[Tensor, "views points 2"]
    trust: Float[Tensor, "views points"]
    threshold: float

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
        """Return the observations of at most so many points, those that most placed views saw."""
        views = (self.trust[self.placed] > 0).sum(dim=0)
        usable = (views > 1).nonzero()[:, 0]
        if len(usable) <= most:
            return self.take(usable)
        # Of points that as many views saw, those that are spread evenly over all.
        order = spread_evenly(len(usable), len(usable)).to(usable.device)
        ranked = usable[order][views[usable[order]].argsort(descending=True, stable=True)]
        return self.take(ranked[:most].sort().values)

    def select(self, views: list[int]) -> "Observations":
        """Return the observations of some views."""
        return replace(
            self,
            cameras=self.cameras.select(views),
            pixels=self.pixels[views],
            ideal=self.ideal[views],
            trust=self.trust[views],
        )

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

    def noise(self, found: RobustPoints) -> float:
        """Estimate the standard deviation of the noise in a coordinate of the placed views [px].

        The median of the residuals of all detections is used, outliers too. A point with n inliers
        has 2 n coordinates and 3 unknowns: its residuals are smaller than the noise.
        """
        views = found.inliers.sum(dim=-2)
        left = 1 - 1.5 / views.clamp(min=2)
        squared = (found.residuals.square() / left)[self.trust[self.placed] > 0]
        squared = squared[squared.isfinite()]
        return float((squared.median() / MEDIAN_OF_SQUARES).sqrt()) if len(squared) else torch.nan


def spread_evenly(count: int, most: int) -> Int[Tensor, "some"]:
    """Return at most so many numbers below a count, of which every first part is spread evenly."""
    golden = 0.6180339887498949
    order = ((torch.arange(count, dtype=torch.float64) * golden) % 1.0).argsort()
    return order[:most]
