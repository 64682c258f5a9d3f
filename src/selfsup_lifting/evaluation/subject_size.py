"""The size of a subject, and the lengths that follow from it."""

import torch
from jaxtyping import Float
from torch import Tensor

from selfsup_lifting.evaluation.metrics import MILLIMETERS, PCK_THRESHOLD
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import Skeleton

# Usual limits of the size of a person and of another subject [m], and the joints of a person.
PERSON_SIZE_M, SUBJECT_SIZE_M = (0.5, 3.0), (0.02, 5.0)
PERSON = ("left_shoulder", "right_shoulder", "left_ankle", "right_ankle")
# The threshold of PCK for other subjects, relative to their extent: the 10 % of Yang and Ramanan,
# Articulated human detection with flexible mixtures of parts, TPAMI 2013, for the sides of a box.
PCK_SHARE = 0.1
# Number of frames that are measured: bounds the memory for long recordings.
MOST_FRAMES = 500


def is_person(skeleton: Skeleton) -> bool:
    """Return whether a skeleton has the shoulders and ankles of a person."""
    return {*PERSON} <= {*skeleton.joints}


def usual_size(skeleton: Skeleton) -> tuple[str, tuple[float, float]]:
    """Return what a skeleton is of, "person" or "subject", and the usual limits of its size [m]."""
    return ("person", PERSON_SIZE_M) if is_person(skeleton) else ("subject", SUBJECT_SIZE_M)


def diagonal(points: Float[Tensor, "frames joints 3"]) -> float:
    """Return the diagonal of a subject's bounding box, median over the frames.

    Args:
        points: The joints [any unit]; NaN where unknown.

    Returns:
        The diagonal, in the same unit; NaN if no joint is known.
    """
    low = points.nan_to_num(torch.inf, torch.inf, torch.inf).amin(dim=1)
    high = points.nan_to_num(-torch.inf, -torch.inf, -torch.inf).amax(dim=1)
    size = (high - low).norm(dim=-1)
    known = size[size.isfinite()]
    return float(known.median()) if len(known) else torch.nan


def extent(points: Float[Tensor, "frames joints 3"]) -> float:
    """Return the largest distance between two joints, median over the frames.

    Args:
        points: The joints [any unit]; NaN where unknown.

    Returns:
        The extent, in the same unit; NaN if no frame has two known joints.
    """
    some = points[:: max(1, len(points) // MOST_FRAMES)]
    known = some.isfinite().all(dim=-1)
    distances = torch.cdist(some.nan_to_num(0.0, 0.0, 0.0), some.nan_to_num(0.0, 0.0, 0.0))
    largest = torch.where(known[:, None] & known[:, :, None], distances, 0.0).amax(dim=(1, 2))
    largest = largest[known.sum(dim=1) > 1]
    return float(largest.median()) if len(largest) else torch.nan


def pck_threshold(recording: Recording, points: Float[Tensor, "frames joints 3"]) -> float:
    """Return the error below which a joint of a recording is correct [mm].

    Args:
        recording: The recording.
        points: Its joints in the world [m]; NaN where unknown.

    Returns:
        150 mm for the published datasets, for people of human size and where no size is known;
        else 10 % of the subject's extent.
    """
    size = extent(points)
    low, high = PERSON_SIZE_M
    human = is_person(recording.skeleton) and low <= size <= high
    if human or recording.source.dataset is not None or not size > 0:
        return PCK_THRESHOLD
    return PCK_SHARE * MILLIMETERS * size
