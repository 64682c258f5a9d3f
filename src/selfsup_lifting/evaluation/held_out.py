"""Follow the error on held-out recordings during a training, without ground truth."""

from collections.abc import Callable, Mapping, Sequence

from selfsup_lifting.config import Config
from selfsup_lifting.recording import Recording
from selfsup_lifting.training.dataset import usable_frames
from selfsup_lifting.training.devices import training_device
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.model_selection import reprojection_error

HELD_OUT = "held_out_reprojection"
# Number of frames that are evaluated after every epoch: bounds the time for long recordings.
MOST_FRAMES = 500


def held_out_scores(
    config: Config, recordings: Sequence[Recording]
) -> Callable[[Lifter], Mapping[str, float]]:
    """Return a function that measures the reprojection error of lifted held-out poses.

    Args:
        config: The settings of the training.
        recordings: The held-out recordings.

    Returns:
        A function for `train`: it projects every prediction into all cameras, and returns the mean
        L1 distance from the detections [focal lengths] by name; nothing if no frame is usable.
    """
    total = sum(one.frame_count for one in recordings)
    some = [one.frames(slice(None, None, max(1, total // MOST_FRAMES))) for one in recordings]
    frames = usable_frames(some, triangulation=config.triangulation).to(
        training_device(config.device)
    )

    def scores(lifter: Lifter) -> Mapping[str, float]:
        return {HELD_OUT: reprojection_error(lifter, frames)} if len(frames) else {}

    return scores
