"""Which epoch was best, told by other cameras and without any truth."""

from collections.abc import Sequence
from pathlib import Path

import torch

from selfsup_lifting.config import Config
from selfsup_lifting.recording import Recording
from selfsup_lifting.training.checkpoint import BEST_FILE, noted_number, save_weights
from selfsup_lifting.training.dataset import Frames, build_dataset, centred_image, usable_views
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.losses import projection_loss
from selfsup_lifting.training.splits import hold_out

NOTED = "reprojection"


class Selection:
    """Keeps the weights whose predictions the other cameras confirm best, beside the last ones.

    Attributes:
        learned: The recordings that are left to learn from.
    """

    def __init__(self, config: Config, recordings: Sequence[Recording], run: Path) -> None:
        self.learned = list(recordings)
        self._config, self._path = config, run / BEST_FILE
        self._frames: Frames | None = None
        if config.select_on:
            split = hold_out(recordings, config.select_on)
            self.learned = split.learned
            frames = build_dataset(split.kept_out, triangulation=config.triangulation)
            self._frames = frames.to(config.device)

    def judge(self, lifter: Lifter) -> dict[str, float]:
        """Measure the network as it is, and keep its weights if they are the best so far.

        Args:
            lifter: The network.

        Returns:
            What to note of the epoch; nothing where no takes are set apart.
        """
        if self._frames is None:
            return {}
        error = reprojection(lifter, self._frames)
        if error < noted_number(self._path, NOTED):
            save_weights(self._path, lifter, self._config, **{NOTED: error})
        return {NOTED: error}


@torch.no_grad()
def reprojection(lifter: Lifter, frames: Frames) -> float:
    """Project each view's prediction into every view, and compare with what was seen.

    Args:
        lifter: The network, in whichever mode.
        frames: What it has not learned from.

    Returns:
        The mean distance in the L1 norm [focal lengths].
    """
    training = lifter.training
    poses = lifter.eval()(frames.image, frames.seen)
    lifter.train(training)
    root = lifter.skeleton.root
    usable = usable_views(frames, root)
    mask = usable[:, :, None, None] & (usable[..., None] & frames.seen)[:, None]
    image = centred_image(frames, root)
    return float(projection_loss(poses, image, frames.camera_from_root, mask, root=root))
