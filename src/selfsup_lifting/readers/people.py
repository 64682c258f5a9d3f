"""Who is who: one person out of everybody that every camera saw."""

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.readers.tracks import ViewTracks


def largest_person(
    tracks: ViewTracks,
) -> tuple[Float[Tensor, "frames joints 2"], Float[Tensor, "frames joints"]]:
    """Choose in each frame whoever appears largest: who a single camera was set up for."""
    low = tracks.keypoints.nan_to_num(torch.inf).amin(dim=-2)
    high = tracks.keypoints.nan_to_num(-torch.inf).amax(dim=-2)
    largest = (high - low).clamp(min=0).sum(dim=-1).argmax(dim=1)
    frames = torch.arange(tracks.frame_count)
    return tracks.keypoints[frames, largest], tracks.confidence[frames, largest]
