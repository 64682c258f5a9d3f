"""How far the detections of a recording are from the points that all cameras agree on."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import point_depths, triangulate_dlt, triangulate_dlt_svd
from selfsup_lifting.recording import Recording
from selfsup_lifting.triangulate import reprojection_errors

# Frames that are compared: bounds the time for long recordings.
MOST_FRAMES = 40
# Cameras that are compared with each other: bounds the time, which is the square of their number.
MOST_CAMERAS = 32


def sampled(recording: Recording) -> Recording:
    """Return some frames, spread over the recording."""
    return recording.without_truth().frames(slice(0, None, frame_step(recording)))


def compared_cameras(recording: Recording) -> list[int]:
    """Return the cameras that are compared with each other: of many some, spread over the rig."""
    views = recording.cameras.views
    return torch.linspace(0, views - 1, min(views, MOST_CAMERAS)).round().long().tolist()


def with_compared_cameras(recording: Recording) -> Recording:
    """Return the recording of the cameras that are compared with each other."""
    names, chosen = recording.cameras.names, compared_cameras(recording)
    if len(chosen) == len(names):  # a long recording stays in its file
        return recording
    return recording.select_views([names[at] for at in chosen])


def frame_step(recording: Recording) -> int:
    """Return which frames are compared: one of so many."""
    return max(1, recording.frame_count // MOST_FRAMES)


def ideal_pixels(recording: Recording) -> Float[Tensor, "frames views joints 2"]:
    """Return the detections without lens distortion; NaN where missing."""
    cameras = recording.cameras
    ideal = cameras.undistort(recording.keypoints.to(cameras.intrinsics.dtype))
    return torch.where(ideal.valid[..., None], ideal.pixels, torch.nan)


def median_error(
    recording: Recording, triangulate: Callable[[Tensor, Tensor], Tensor] = triangulate_dlt
) -> float:
    """Return the median reprojection error [px].

    Cameras that agree are tried once, by the singular value decomposition of PyTorch, since the
    loops of `triangulate_dlt` are compiled for many seconds at their first use.
    """
    points = triangulate(recording.cameras.projections, ideal_pixels(recording))
    error = reprojection_errors(recording, points)
    known = error[error.isfinite()]
    return float(known.median()) if len(known) else torch.inf


def is_mostly_behind(sample: Recording) -> bool:
    """Return whether most points are behind the cameras that detected them."""
    points = triangulate_dlt_svd(sample.cameras.projections, ideal_pixels(sample))
    depths = point_depths(sample.cameras.projections, points)
    seen = depths[depths.isfinite() & (sample.confidence > 0)]
    return len(seen) > 0 and bool(seen.median() < 0)


def subject_size_px(recording: Recording) -> float:
    """Return the diagonal of the subject's bounding box in the image, median [px]."""
    low = recording.keypoints.nan_to_num(torch.inf, torch.inf, torch.inf).amin(dim=2)
    high = recording.keypoints.nan_to_num(-torch.inf, -torch.inf, -torch.inf).amax(dim=2)
    size = (high - low).norm(dim=-1)
    known = size[size.isfinite() & (size > 0)]
    return float(known.median()) if len(known) else torch.inf
