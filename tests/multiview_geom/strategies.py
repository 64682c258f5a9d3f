"""Rigs, points, weights drawn as named numbers, easy to degenerate.

A strategy yields a frozen dataclass of plain numbers, so a failing example prints a scene a
person can read; the tensors are built inside the test. Numbers are rounded to a thousandth and
shrink towards the simplest real rig.
"""

from dataclasses import dataclass
from math import radians

import torch
from hypothesis import strategies as st
from torch import Tensor

from multiview_geom import Cameras, look_at, project_points, rigid_transform, ring_of_cameras

UP = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)


@dataclass(frozen=True)
class Ring:
    """Cameras at equal angles around the scene, as in most studios."""

    views: int = 4
    radius: float = 4.0
    height: float = 1.0
    focal_length: float = 1000.0

    def cameras(self) -> Cameras:
        return ring_of_cameras(
            self.views,
            self.radius,
            self.height,
            focal_length=self.focal_length,
            dtype=torch.float64,
        )


@dataclass(frozen=True)
class Fan:
    """Cameras beside each other, a few degrees apart: a narrow baseline."""

    views: int = 2
    distance: float = 4.0
    step_deg: float = 5.0

    def cameras(self) -> Cameras:
        angles = torch.arange(self.views, dtype=torch.float64) * radians(self.step_deg)
        level = torch.zeros_like(angles)
        position = self.distance * torch.stack([angles.cos(), angles.sin(), level], dim=-1)
        return _aimed(position)


@dataclass(frozen=True)
class Staircase:
    """Cameras at unequal distances: each sees the scene at a size of its own."""

    distances: tuple[float, ...] = (1.5, 3.0, 6.0, 9.0)

    def cameras(self) -> Cameras:
        distance = torch.tensor(self.distances, dtype=torch.float64)
        angles = torch.arange(len(self.distances), dtype=torch.float64) * radians(80.0)
        level = torch.full_like(angles, 0.2)
        direction = torch.stack([angles.cos(), angles.sin(), level], dim=-1)
        return _aimed(distance[:, None] * direction)


Rig = Ring | Fan | Staircase


@dataclass(frozen=True)
class Cloud:
    """World points, in meters around the origin."""

    coordinates: tuple[tuple[float, float, float], ...] = ((0.0, 0.0, 0.0),)

    def points(self) -> Tensor:
        return torch.tensor(self.coordinates, dtype=torch.float64)


@dataclass(frozen=True)
class Pose:
    """A rotation by an axis-angle vector [rad] and a translation [m]."""

    turn: tuple[float, float, float] = (0.0, 0.0, 0.0)
    shift: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def rotation(self) -> Tensor:
        x, y, z = self.turn
        skew = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
        nearly: Tensor = torch.linalg.matrix_exp(skew)
        # The series is cut where it is right to 1e-11 only: make it orthogonal to round-off.
        return nearly @ (1.5 * torch.eye(3, dtype=torch.float64) - 0.5 * nearly.mT @ nearly)

    def transform(self) -> Tensor:
        return rigid_transform(self.rotation(), torch.tensor(self.shift, dtype=torch.float64))


@dataclass(frozen=True)
class Sightings:
    """What a rig sees of a cloud: noise by the pixel, trust by the sighting.

    `noise` and `weights` are read round and round, view by view and point by point, so that
    few numbers make any scene and a person can see the pattern.
    """

    rig: Rig = Ring()
    cloud: Cloud = Cloud()
    noise: tuple[float, ...] = (0.0,)
    weights: tuple[float, ...] = (1.0,)

    def projections(self) -> Tensor:
        return self.rig.cameras().projections

    def pixels(self) -> Tensor:
        exact = project_points(self.projections(), self.cloud.points())
        return exact + _repeated(self.noise, exact.shape)

    def trust(self) -> Tensor:
        views = self.projections().shape[0]
        return _repeated(self.weights, (views, len(self.cloud.coordinates)))


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    """Draw numbers a person can read: rounded to a thousandth, zero first."""
    return st.floats(low, high, allow_nan=False).map(lambda number: round(number, 3) + 0.0)


def triples(reach: float) -> st.SearchStrategy[tuple[float, float, float]]:
    """Draw three coordinates within reach of the origin."""
    return st.tuples(*[numbers(-reach, reach)] * 3)


def clouds(
    min_points: int = 1, max_points: int = 5, reach: float = 1.0
) -> st.SearchStrategy[Cloud]:
    """Draw points within reach of the world's origin."""
    coordinates = st.lists(triples(reach), min_size=min_points, max_size=max_points)
    return coordinates.map(lambda drawn: Cloud(tuple(drawn)))


def spread_clouds(reach: float = 1.0, extra: int = 4) -> st.SearchStrategy[Cloud]:
    """Draw points that span all of space: a tetrahedron, somewhat moved, and others."""
    corners = ((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 0.8, 0.0), (0.0, 0.0, 0.6))
    moved = st.tuples(*[triples(0.1)] * 4).map(
        lambda moves: tuple(
            (c[0] + m[0], c[1] + m[1], c[2] + m[2]) for c, m in zip(corners, moves, strict=True)
        )
    )
    others = st.lists(triples(reach), max_size=extra).map(tuple)
    return st.builds(lambda near, far: Cloud(near + far), moved, others)


rings = st.builds(
    Ring,
    views=st.integers(3, 8),
    radius=numbers(3.0, 8.0),
    height=numbers(0.5, 3.0),
    focal_length=numbers(300.0, 2000.0),
)
fans = st.builds(
    Fan, views=st.integers(2, 4), distance=numbers(3.0, 6.0), step_deg=numbers(3.0, 20.0)
)
staircases = st.builds(
    Staircase,
    distances=st.lists(numbers(2.5, 9.0), min_size=2, max_size=5).map(tuple),
)
rigs = rings | fans | staircases
poses = st.builds(Pose, turn=triples(2.0), shift=triples(3.0))
noises = st.lists(numbers(-2.0, 2.0), min_size=1, max_size=7).map(tuple)
weights = st.lists(numbers(0.1, 3.0), min_size=1, max_size=5).map(tuple)
sightings = st.builds(Sightings, rig=rigs, cloud=clouds(), noise=noises, weights=weights)


def _aimed(position: Tensor) -> Cameras:
    views = position.shape[0]
    intrinsics = position.new_tensor([[1000.0, 0.0, 500.0], [0.0, 1000.0, 500.0], [0.0, 0.0, 1.0]])
    return Cameras(intrinsics.repeat(views, 1, 1), look_at(position, torch.zeros_like(UP), UP))


def _repeated(numbers_: tuple[float, ...], shape: tuple[int, ...] | torch.Size) -> Tensor:
    count = torch.Size(shape).numel()
    cycle = torch.tensor(numbers_, dtype=torch.float64).repeat(count // len(numbers_) + 1)
    return cycle[:count].reshape(shape)
