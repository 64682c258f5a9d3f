"""How sure a lifter is of each joint: learned from the pseudo-labels, without ground truth.

The network learns an ellipsoid for each joint from the errors of its own poses against the
pseudo-labels; no gradient reaches the poses. Poses that were learned have smaller errors than
others. So some recordings are not learned from: one factor makes all ellipsoids so large that
they hold 90 % of the errors against the pseudo-labels of these recordings.
"""

from collections.abc import Sequence
from math import sqrt

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from selfsup_lifting.config import Config
from selfsup_lifting.recording import Recording
from selfsup_lifting.training.dataset import Frames, build_dataset
from selfsup_lifting.training.ellipsoids import (
    CHI_SQUARED,
    SHARE,
    UNIT_SHARE,
    negative_log_likelihood,
    squared_distances,
)
from selfsup_lifting.training.lifter import Lifter, in_evaluation
from selfsup_lifting.training.losses import masked_mean, rotated_to_views
from selfsup_lifting.training.objective import counted_joints
from selfsup_lifting.training.splits import hold_out

# At most so many frames set the size of the ellipsoids: this bounds the time after each epoch.
MOST_FRAMES = 1000


class EllipsoidSize:
    """Make the ellipsoids of a lifter as large as the errors on recordings it does not learn from.

    Attributes:
        training: The recordings left for training.
    """

    def __init__(
        self, config: Config, recordings: Sequence[Recording], device: str = "cpu"
    ) -> None:
        self.training = list(recordings)
        self._frames: Frames | None = None
        if config.lifter.uncertainty:
            split = hold_out(recordings, config.uncertainty_on, "uncertainty_on")
            self.training = split.training
            frames = build_dataset(split.held_out, triangulation=config.triangulation)
            step = -(-len(frames) // MOST_FRAMES)
            self._frames = frames.select(torch.arange(0, len(frames), step)).to(device)

    @staticmethod
    def set_unit(lifter: Lifter, frames: Frames) -> None:
        """Set the unit of the errors of a network by the size of the subject."""
        if lifter.settings.uncertainty:
            distances = frames.labels[frames.labelled].square().sum(dim=-1)
            lifter.error_unit.copy_(UNIT_SHARE * distances.mean().sqrt())

    def fit(self, lifter: Lifter) -> dict[str, float]:
        """Set the size of the ellipsoids of a network.

        Returns:
            The factor of all half-axes by name; empty for a network without ellipsoids.
        """
        if self._frames is None:
            return {}
        lifter.ellipsoid_scale.fill_(1.0)
        squared = squared_error_distances(lifter, self._frames)
        if not len(squared):
            raise ValueError(
                "`uncertainty_on` needs recordings with labelled joints beside the root, got none: "
                "name others, or see what `inspect` says about these"
            )
        factor = sqrt(float(squared.quantile(SHARE)) / CHI_SQUARED)
        lifter.ellipsoid_scale.fill_(factor)
        return {"ellipsoid_scale": factor}


@torch.no_grad()
def squared_error_distances(lifter: Lifter, frames: Frames) -> Float[Tensor, "errors"]:
    """Return the squared Mahalanobis distance of each error against a pseudo-label."""
    inputs = (frames.image, frames.seen, frames.confidence)
    with in_evaluation(lifter):
        poses, covariance = lifter(*inputs), lifter.covariances(*inputs)
    errors, counted = _label_errors(poses, frames, lifter.skeleton.root)
    return squared_distances(errors[counted], covariance[counted])


def likelihood_loss(
    poses: Float[Tensor, "frames views joints 3"],
    whitening: Float[Tensor, "frames views joints 3 3"],
    frames: Frames,
    lifter: Lifter,
) -> Float[Tensor, ""]:
    """Return the negative log-likelihood of the errors; its gradient reaches `whitening` alone."""
    errors, counted = _label_errors(poses.detach(), frames, lifter.skeleton.root)
    return masked_mean(negative_log_likelihood(errors / lifter.error_unit, whitening), counted)


def _label_errors(
    poses: Float[Tensor, "frames views joints 3"], frames: Frames, root: tuple[int, ...]
) -> tuple[Float[Tensor, "frames views joints 3"], Bool[Tensor, "frames views joints"]]:
    """Return the errors against the labels, and which count: not a root, which has no error."""
    labels = rotated_to_views(frames.labels, frames.camera_from_root)
    counted = counted_joints(frames, root, partial_views=True).clone()
    if len(root) == 1:
        counted[..., root[0]] = False
    return poses - labels, counted
