"""How good calibrated cameras are: reprojection errors before and after, motion, uncertainty."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from multiview_geom import (
    CalibratedRig,
    Cameras,
    reprojection_error,
    rotation_to_vector,
    triangulate_dlt,
)
from selfsup_lifting.skeleton.skeletons import Skeleton

ERRORS = ("before_px", "after_px", "held_out_before_px", "held_out_after_px")


class Tracks(NamedTuple):
    """The detections of all recordings, one after the other."""

    cameras: Cameras
    skeleton: Skeleton
    fps: float
    pixels: Float[Tensor, "frames views joints 2"]
    weights: Float[Tensor, "frames views joints"]

    def frames(self, chosen: Bool[Tensor, "frames"]) -> "Tracks":
        """Return some frames."""
        return self._replace(pixels=self.pixels[chosen], weights=self.weights[chosen])


@dataclass(frozen=True)
class CameraChange:
    """What calibration changed in a camera.

    Attributes:
        before_px: Median reprojection error before, on the frames that were fitted [px]; NaN if
            there was no calibration.
        after_px: The same after calibration.
        held_out_before_px: Median reprojection error before, on the frames that were held out.
        held_out_after_px: The same after calibration.
        moved: How far the camera moved [m, or the unit of the rig].
        moved_sigma: Standard deviation of its position.
        turned_deg: How far the camera turned [degrees].
        turned_sigma_deg: Standard deviation of its direction.
        focal_px: Focal length along x [px].
        focal_sigma_px: Its standard deviation; zero if it is not free.
    """

    before_px: float
    after_px: float
    held_out_before_px: float
    held_out_after_px: float
    moved: float
    moved_sigma: float
    turned_deg: float
    turned_sigma_deg: float
    focal_px: float
    focal_sigma_px: float


@dataclass(frozen=True)
class CalibrationReport:
    """Calibrated cameras, and how good they are.

    Attributes:
        cameras: The cameras, in meters if the scale is known.
        per_camera: The change of each camera.
        held_out_before_px: Median reprojection error of all cameras before, on held-out frames.
        held_out_after_px: The same after calibration.
        noise_px: Noise of a detection along an image axis, from the residuals [px].
        scale: What the unit of length was found from.
        is_metric: Whether the cameras are in meters.
        vertical: What the vertical was found from.
        stature: Estimated height of the person, in the unit of the cameras.
        notes: What a user should know.
    """

    cameras: Cameras
    per_camera: dict[str, CameraChange]
    held_out_before_px: float
    held_out_after_px: float
    noise_px: float
    scale: str
    is_metric: bool
    vertical: str
    stature: float
    notes: tuple[str, ...]

    @property
    def worst(self) -> str:
        """The camera with the largest error on the held-out frames."""
        return max(self.per_camera, key=lambda name: self.per_camera[name].held_out_after_px)

    def as_dict(self) -> dict[str, Any]:
        """Return the keys that scripts may rely on."""
        plain = {name: value for name, value in vars(self).items() if name != "cameras"}
        rows = {name: asdict(row) for name, row in self.per_camera.items()}
        return {**plain, "per_camera": rows, "notes": [*self.notes], "worst": self.worst}


def reprojection(cameras: Cameras | None, tracks: Tracks) -> Float[Tensor, "frames views joints"]:
    """Return the reprojection errors of plain triangulation; NaN without cameras."""
    if cameras is None:
        return torch.full_like(tracks.weights, torch.nan)
    ideal = cameras.undistort(tracks.pixels)
    usable = torch.where(ideal.valid & (tracks.weights > 0), 1.0, 0.0).to(ideal.pixels)
    points = triangulate_dlt(cameras.projections, ideal.pixels, weights=usable)
    errors = reprojection_error(cameras.projections, points, ideal.pixels)
    return torch.where(usable > 0, errors, torch.nan)


def median(errors: Float[Tensor, "*some"]) -> float:
    """Return the median of the errors that are known."""
    return float(errors.nanmedian())


def changes(
    given: Cameras | None, placed: CalibratedRig, fitted: Tracks, others: Tracks
) -> dict[str, CameraChange]:
    """Return what calibration changed in each camera.

    Args:
        given: The cameras before, in the same world; None if there were none.
        placed: The cameras after.
        fitted: The frames that were fitted.
        others: The frames that were held out.
    """
    before, after = reprojection(given, fitted), reprojection(placed.cameras, fitted)
    held_before, held_after = reprojection(given, others), reprojection(placed.cameras, others)
    moved = turned = torch.full((len(placed.covariance),), torch.nan)
    if given is not None:
        moved = (placed.cameras.centers - given.centers).norm(dim=-1)
        old, new = (one.camera_from_world[:, :3, :3] for one in (given, placed.cameras))
        turned = rotation_to_vector(new @ old.mT).norm(dim=-1).rad2deg()
    variance = placed.covariance.diagonal(dim1=-2, dim2=-1)
    sigma = {name: variance[:, at].sqrt() for at, name in enumerate(placed.parameters)}
    free_focal = sigma.get("log_focal", torch.zeros_like(moved))
    errors = (before, after, held_before, held_after)
    return {
        name: CameraChange(
            **{kind: median(each[:, view]) for kind, each in zip(ERRORS, errors, strict=True)},
            moved=float(moved[view]),
            moved_sigma=float(variance[view, 3:6].sum().sqrt()),
            turned_deg=float(turned[view]),
            turned_sigma_deg=float(variance[view, :3].sum().sqrt().rad2deg()),
            focal_px=float(placed.cameras.intrinsics[view, 0, 0]),
            focal_sigma_px=float(free_focal[view] * placed.cameras.intrinsics[view, 0, 0]),
        )
        for view, name in enumerate(placed.cameras.names)
    }
