"""Fill short gaps of keypoints and of 3D tracks in time."""

from dataclasses import replace
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from selfsup_lifting.recording import Recording

# The confidence of a keypoint that fills a gap, relative to the lower of those around the gap.
FILLED_CONFIDENCE = 0.5


def fill_gaps(recording: Recording, longest: int) -> Recording:
    """Return a recording with short gaps of keypoints interpolated linearly in time.

    Args:
        recording: The recording.
        longest: The longest gap to fill [frames]. Gaps at an end of the recording stay.

    Returns:
        The recording. An interpolated keypoint has half the lower confidence of the two keypoints
        around the gap.
    """
    keypoints, confidence = recording.keypoints, recording.confidence
    gaps = _short_gaps(keypoints, longest)
    lower = torch.minimum(confidence.gather(0, gaps.before), confidence.gather(0, gaps.after))
    return replace(
        recording,
        keypoints=_interpolated(keypoints, gaps),
        confidence=torch.where(gaps.inside, lower * FILLED_CONFIDENCE, confidence),
    )


def fill_track_gaps(
    tracks: Float[Tensor, "frames joints 3"], longest: int
) -> Float[Tensor, "frames joints 3"]:
    """Interpolate short gaps of 3D tracks linearly in time.

    Args:
        tracks: Joint positions; NaN where unknown.
        longest: The longest gap to fill [frames]. Gaps at an end of the track stay.

    Returns:
        The tracks; known positions are unchanged.

    Example:
        >>> track = torch.tensor([1.0, torch.nan, torch.nan, 4.0])[:, None, None].expand(4, 1, 3)
        >>> fill_track_gaps(track, 2)[:, 0, 0].tolist()
        [1.0, 2.0, 3.0, 4.0]
    """
    return _interpolated(tracks, _short_gaps(tracks, longest))


class _Gaps(NamedTuple):
    """Where points are to be interpolated, and the frames of the known points around them."""

    inside: Bool[Tensor, "frames *points"]
    before: Int[Tensor, "frames *points"]
    after: Int[Tensor, "frames *points"]


def _short_gaps(points: Float[Tensor, "frames *points d"], longest: int) -> _Gaps:
    frames, seen = len(points), points.isfinite().all(dim=-1)
    time = _frame_numbers(seen)
    before = torch.where(seen, time, -1).cummax(dim=0).values
    after = torch.where(seen, time, frames).flip(0).cummin(dim=0).values.flip(0)
    inside = ~seen & (before >= 0) & (after < frames) & (after - before <= longest + 1)
    return _Gaps(inside, before.clamp(min=0), after.clamp(max=frames - 1))


def _interpolated(
    points: Float[Tensor, "frames *points d"], gaps: _Gaps
) -> Float[Tensor, "frames *points d"]:
    passed = (_frame_numbers(gaps.inside) - gaps.before).to(points.dtype)
    share = (passed / (gaps.after - gaps.before).clamp(min=1))[..., None]
    start, end = (
        points.gather(0, at[..., None].expand(points.shape)) for at in (gaps.before, gaps.after)
    )
    return torch.where(gaps.inside[..., None], start + share * (end - start), points)


def _frame_numbers(like: Bool[Tensor, "frames *points"]) -> Int[Tensor, "frames *points"]:
    """Return the number of the frame in every element."""
    return like.new_ones(like.shape, dtype=torch.long).cumsum(dim=0) - 1
