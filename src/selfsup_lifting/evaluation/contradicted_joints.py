"""Joints of one camera that the other cameras contradict: named wrongly there, or exchanged."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.read_errors import listed
from selfsup_lifting.recording import Recording
from selfsup_lifting.sampled_errors import frame_step

# A joint that was detected less often says nothing.
FEWEST = 10
# A joint is contradicted if less of its detections are used, and others agree if more are. Of a
# joint that is hidden in a camera, and guessed, some detections are used.
CONTRADICTED, AGREED = 0.03, 0.6


def notes_on_joints(
    recording: Recording, residuals: Float[Tensor, "frames views joints"]
) -> Iterator[str]:
    """Name the joints of one camera whose detections were removed as outliers in most frames.

    Args:
        recording: A recording.
        residuals: The residual of each detection that was used to triangulate it; NaN of others.

    Yields:
        A sentence for each camera that has such joints, while its others agree.
    """
    every = slice(None, None, frame_step(recording))
    some = recording.frames(every)
    seen = (some.keypoints.isfinite().all(dim=-1) & (some.confidence > 0)).sum(dim=0)
    used = residuals[every].isfinite().sum(dim=0) / seen
    share = torch.where(seen >= FEWEST, used, torch.nan)
    for view, camera in enumerate(recording.cameras.names):
        others = torch.cat([share[:view], share[view + 1 :]]).nanmedian(dim=0).values
        odd = (share[view] < CONTRADICTED) & (others > AGREED)
        if odd.any() and share[view].nanmedian() > AGREED:
            joints = [recording.skeleton.joints[at] for at in odd.nonzero().flatten().tolist()]
            yield (
                f"{recording.name}: the other cameras contradict {listed(joints)} of camera "
                f"{camera} in most frames, and not its other joints: are these named wrongly there?"
            )
