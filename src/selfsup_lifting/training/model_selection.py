"""Choose the best epoch by the reprojection error in other cameras, without ground truth."""

from collections.abc import Sequence
from pathlib import Path

import torch

from selfsup_lifting.config import Config
from selfsup_lifting.recording import Recording
from selfsup_lifting.training.checkpoint import BEST_FILE, save_weights, saved_number
from selfsup_lifting.training.dataset import Frames, build_dataset, centered_image, pair_mask
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.losses import projection_loss
from selfsup_lifting.training.splits import hold_out

SCORE = "reprojection"


class ModelSelection:
    """Save the weights with the lowest reprojection error, beside the last ones.

    Attributes:
        training: The recordings left for training.
    """

    def __init__(self, config: Config, recordings: Sequence[Recording], run: Path) -> None:
        self.training = list(recordings)
        self._config, self._path = config, run / BEST_FILE
        self._frames: Frames | None = None
        if config.select_on:
            split = hold_out(recordings, config.select_on)
            self.training = split.training
            frames = build_dataset(split.held_out, triangulation=config.triangulation)
            self._frames = frames.to(config.device)

    def score(self, lifter: Lifter) -> dict[str, float]:
        """Evaluate the network, and save its weights if they are the best so far.

        Returns:
            The reprojection error by name; empty if no recordings are held out for selection.
        """
        if self._frames is None:
            return {}
        error = reprojection_error(lifter, self._frames)
        if error < saved_number(self._path, SCORE):
            save_weights(self._path, lifter, self._config, **{SCORE: error})
        return {SCORE: error}


@torch.no_grad()
def reprojection_error(lifter: Lifter, frames: Frames) -> float:
    """Return the mean L1 distance of projected predictions from the detections [focal lengths]."""
    training = lifter.training
    poses = lifter.eval()(frames.image, frames.seen)
    lifter.train(training)
    root = lifter.skeleton.root
    image, mask = centered_image(frames, root), pair_mask(frames, root)
    return float(projection_loss(poses, image, frames.camera_from_root, mask, root=root))
