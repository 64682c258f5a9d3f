"""Fill short gaps of keypoints in time."""

from dataclasses import replace

import torch
from jaxtyping import Float
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
    keypoints, confidence = _interpolated(recording.keypoints, recording.confidence, longest)
    return replace(recording, keypoints=keypoints, confidence=confidence)


def _interpolated(
    keypoints: Float[Tensor, "frames views joints 2"],
    confidence: Float[Tensor, "frames views joints"],
    longest: int,
) -> tuple[Float[Tensor, "frames views joints 2"], Float[Tensor, "frames views joints"]]:
    frames = len(keypoints)
    time = torch.arange(frames)[:, None, None].expand(confidence.shape)
    seen = keypoints.isfinite().all(dim=-1)
    before = torch.where(seen, time, -1).cummax(dim=0).values
    after = torch.where(seen, time, frames).flip(0).cummin(dim=0).values.flip(0)
    gap = ~seen & (before >= 0) & (after < frames) & (after - before <= longest + 1)
    before, after = before.clamp(min=0), after.clamp(max=frames - 1)
    share = ((time - before) / (after - before).clamp(min=1))[..., None]
    start, end = (
        keypoints.gather(0, at[..., None].expand(keypoints.shape)) for at in (before, after)
    )
    lower = torch.minimum(confidence.gather(0, before), confidence.gather(0, after))
    return (
        torch.where(gap[..., None], start + share * (end - start), keypoints),
        torch.where(gap, lower * FILLED_CONFIDENCE, confidence),
    )
