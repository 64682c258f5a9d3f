"""Relative poses of pairs of cameras, and how well each is determined."""

from functools import partial
from itertools import combinations
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from multiview_geom._validation import product
from multiview_geom._vectors import replace_missing, unit
from multiview_geom.calibration.observations import FEWEST_SHARED, Observations, spread_evenly
from multiview_geom.five_point import relative_pose
from multiview_geom.homogeneous import from_homogeneous, to_homogeneous
from multiview_geom.transforms import invert_transform

MOST_MATCHES = 500
"""Number of matches that find the pose of a pair."""
SAMPLES = 128
"""Number of samples of five matches for a pair: if half of the matches are wrong, all samples
contain a wrong one with a probability of 2 %."""
LARGEST_COMPLETE, PARTNERS = 6, 4
"""Up to so many views all pairs are tried; of more views, each is paired with so many others."""
IN_PLANE = 0.95
"""If one homography explains this share of the matches, the points are in a plane."""
FITTED = 0.8
"""Share of the matches that fit the homography best, which it is solved with again."""


class Pair(NamedTuple):
    """The pose of a second view in the frame of a first one, with a baseline of one.

    Attributes:
        first: The first view.
        second: The second view.
        second_from_first: The pose.
        inliers: The numbers of the points that agree.
        score: How well the pose is determined: the number of inliers, less where rays are nearly
            parallel.
        is_flat: Whether the points are in a plane, so that two poses explain them.
    """

    first: int
    second: int
    second_from_first: Float[Tensor, "4 4"]
    inliers: Int[Tensor, "inliers"]
    score: float
    is_flat: bool

    def turned(self) -> "Pair":
        """Exchange the views."""
        back = invert_transform(self.second_from_first)
        return self._replace(first=self.second, second=self.first, second_from_first=back)


def find_pairs(seen: Observations, threshold: float) -> list[Pair]:
    """Find the relative pose of pairs of views that have one, best determined first."""
    pairs = (_pair(seen, *views, threshold) for views in candidates(seen))
    found = [pair for pair in pairs if pair is not None]
    return sorted(found, key=lambda pair: -pair.score)


def candidates(seen: Observations) -> list[tuple[int, int]]:
    """Return all pairs of views; of a large rig, those that share most points.

    Each view keeps its `PARTNERS` best partners; of partners that share as many points, those that
    are next in the order of the cameras, which often are next to each other in the room.
    """
    views = seen.cameras.views
    pairs = list(combinations(range(views), 2))
    if views <= LARGEST_COMPLETE:
        return pairs
    both = (seen.trust > 0).to(seen.trust)
    shared = (both @ both.mT).tolist()

    def rank(view: int, other: int) -> tuple[float, int]:
        return -shared[view][other], min((view - other) % views, (other - view) % views)

    kept = set()
    for view in range(views):
        others = sorted((other for other in range(views) if other != view), key=partial(rank, view))
        kept |= {(min(view, other), max(view, other)) for other in others[:PARTNERS]}
    return sorted(kept)


def _pair(seen: Observations, first: int, second: int, threshold: float) -> Pair | None:
    shared = seen.shared(first, second)
    if len(shared) < FEWEST_SHARED:
        return None
    some = shared[spread_evenly(len(shared), MOST_MATCHES).sort().values]
    views = [first, second]
    K = seen.cameras.intrinsics[views]
    pixels, trust = seen.ideal[views][:, some], seen.trust[views][:, some]
    pose, inliers, _ = relative_pose(K, pixels, threshold=threshold, weights=trust, samples=SAMPLES)
    if not pose.isfinite().all():
        return None
    sine = _sine_of_parallax(K, pixels[:, inliers], pose)
    share = float(inliers.double().mean())
    is_flat = _are_in_a_plane(K, pixels[:, inliers], threshold)
    return Pair(first, second, pose, some[inliers], share * len(shared) * sine, is_flat)


def _sine_of_parallax(
    intrinsics: Float[Tensor, "2 3 3"], pixels: Float[Tensor, "2 points 2"], pose: Tensor
) -> float:
    """Return the median sine of the angle between the two rays of a point."""
    back = torch.linalg.inv_ex(intrinsics).inverse
    x, y = unit(product(to_homogeneous(pixels), back.mT))
    x = product(x, pose[:3, :3].mT)
    return float(torch.linalg.cross(x, y).norm(dim=-1).median())


def _are_in_a_plane(
    intrinsics: Float[Tensor, "2 3 3"], pixels: Float[Tensor, "2 points 2"], threshold: float
) -> bool:
    """Test whether one homography takes the pixels of one view to those of the other."""
    back = torch.linalg.inv_ex(intrinsics).inverse
    x, y = product(to_homogeneous(pixels), back.mT)
    kept = torch.arange(len(x), device=x.device)
    error = torch.full_like(x[:, 0], torch.inf)
    for _ in range(2):
        moved = product(x, _homography(x[kept], y[kept]).mT)
        error = (from_homogeneous(product(moved, intrinsics[1].mT)) - pixels[1]).norm(dim=-1)
        kept = error.argsort()[: max(int(FITTED * len(x)), FEWEST_SHARED)]
    return float((error < threshold).double().mean()) > IN_PLANE


def _homography(x: Float[Tensor, "points 3"], y: Float[Tensor, "points 3"]) -> Float[Tensor, "3 3"]:
    """Solve `y ~ H x` by the DLT (Hartley and Zisserman, sec. 4.1)."""
    zero = torch.zeros_like(x)
    rows = torch.cat(
        [torch.cat([x, zero, -y[:, :1] * x], dim=-1), torch.cat([zero, x, -y[:, 1:2] * x], dim=-1)]
    )
    finite = replace_missing(product(rows.mT, rows), 2).values
    matrix: Tensor = torch.linalg.eigh(finite).eigenvectors[:, 0]
    return matrix.reshape(3, 3)
