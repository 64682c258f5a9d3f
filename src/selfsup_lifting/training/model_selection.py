"""Choose the best epoch by the reprojection error in other cameras, without ground truth."""

from collections.abc import Sequence
from math import inf
from pathlib import Path

import torch

from selfsup_lifting.config import Config
from selfsup_lifting.recording import Recording
from selfsup_lifting.run_files import BEST_FILE, read_commit
from selfsup_lifting.training.checkpoint import lifter_bytes, saved_number
from selfsup_lifting.training.dataset import Frames, build_dataset, centered_image, pair_mask
from selfsup_lifting.training.lifter import Lifter, in_evaluation
from selfsup_lifting.training.losses import poses_in_views, projection_loss
from selfsup_lifting.training.splits import hold_out

SCORE = "reprojection"


class ModelSelection:
    """Keep the weights with the lowest reprojection error, beside the last ones.

    Attributes:
        training: The recordings left for training.
    """

    def __init__(
        self, config: Config, recordings: Sequence[Recording], device: str = "cpu"
    ) -> None:
        self.training = list(recordings)
        self._config = config
        self._lowest, self._best = inf, b""
        self._frames: Frames | None = None
        if config.select_on:
            split = hold_out(recordings, config.select_on, "select_on")
            self.training = split.training
            frames = build_dataset(split.held_out, triangulation=config.triangulation)
            self._frames = frames.to(device)

    def resume(self, run: Path) -> None:
        """Continue with the best weights of a run, if it has some."""
        if BEST_FILE in read_commit(run).files:
            self._lowest = saved_number(run, SCORE)

    def score(self, lifter: Lifter) -> dict[str, float]:
        """Evaluate the network, and keep its weights if they are the best so far.

        Returns:
            The reprojection error by name; empty if no recordings are held out for selection.
        """
        if self._frames is None:
            return {}
        error = reprojection_error(lifter, self._frames)
        if error < self._lowest:
            self._best = lifter_bytes(lifter, self._config, **{SCORE: error})
            self._lowest = error
        return {SCORE: error}

    def files(self) -> dict[str, bytes]:
        """Return the best weights of this process, by the name of their file."""
        return {BEST_FILE: self._best} if self._best else {}


@torch.no_grad()
def reprojection_error(lifter: Lifter, frames: Frames) -> float:
    """Return the mean L1 distance of projected predictions from the detections [focal lengths]."""
    with in_evaluation(lifter):
        poses = lifter(frames.image, frames.seen, frames.confidence)
    root = lifter.skeleton.root
    image, mask = centered_image(frames, root), pair_mask(frames, root)
    cameras = frames.camera_from_root
    in_views = poses_in_views(poses, cameras)
    return float(projection_loss(in_views, image, cameras, mask, root=root))
