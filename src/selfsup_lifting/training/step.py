"""One step of a training: lift a batch, evaluate the losses, update the network."""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager
from copy import deepcopy
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.profiler import record_function

from selfsup_lifting.config import Compile, Config, LossSettings
from selfsup_lifting.training.dataset import Frames
from selfsup_lifting.training.devices import tensor_float_32
from selfsup_lifting.training.distributed import average_gradients, process_count, whole_batch
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.objective import (
    Network,
    Terms,
    augmented,
    gradient_shares,
    lift_views,
    loss_terms,
    weighted_sum,
)
from selfsup_lifting.training.uncertainty import likelihood_loss
from selfsup_lifting.training.virtual_cameras import VirtualCameras

_log = logging.getLogger(__name__)

# Devices whose fused Adam updates all weights in one kernel.
FUSED = {"cpu", "cuda"}


def adam(lifter: Lifter, config: Config) -> torch.optim.Adam:
    """Return the optimizer, in its fused form where the device has one."""
    fused = next(lifter.parameters()).device.type in FUSED
    return torch.optim.Adam(lifter.parameters(), lr=config.learning_rate, fused=fused)


@dataclass(frozen=True)
class Evaluated:
    """A batch, and what the network made of it.

    Attributes:
        frames: The frames, after augmentation.
        poses: Each view's prediction, in its own axes [m].
        terms: The losses by name, before weighting.
        likelihood: The loss of the ellipsoids around the joints; zero without them.
    """

    frames: Frames
    poses: Float[Tensor, "frames views joints 3"]
    terms: Terms
    likelihood: Float[Tensor, ""] | float = 0.0


class TrainingStep:
    """Evaluate the losses of a batch and update the network.

    With `config.compile`, the network and the losses are compiled. Nothing here waits for the
    device, so that Python prepares the next step while a GPU computes.

    Attributes:
        lifter: The network.
        config: The settings.
        losses: What evaluates the losses, `loss_terms` or its compiled form.
        is_compiled: Whether the network and the losses are compiled.
    """

    def __init__(
        self,
        lifter: Lifter,
        optimizer: torch.optim.Optimizer,
        config: Config,
        cameras: VirtualCameras | None = None,
    ) -> None:
        self.is_compiled, self._cameras = False, cameras
        self.lifter, self._optimizer, self.config = lifter, optimizer, config
        self._network: Network = lifter.with_whitening
        self.losses: Callable[..., Terms] = loss_terms
        self._on_cuda = next(lifter.parameters()).is_cuda

    def copy(self) -> "TrainingStep":
        """Return a step of a copy of the network, with a new optimizer; it is not compiled."""
        lifter = deepcopy(self.lifter)
        return TrainingStep(lifter, adam(lifter, self.config), self.config, self._cameras)

    def compile(self, frames: Frames) -> None:
        """Compile the network and the losses, and try them on a batch, as the settings ask for.

        Raises:
            ValueError: If this is impossible and the setting `compile` is on.
        """
        choice = self.config.compile if process_count() == 1 else Compile.OFF
        if choice is Compile.OFF or (choice is Compile.AUTO and not self._on_cuda):
            return
        plain = (self.lifter.with_whitening, loss_terms)
        self._network, self.losses = torch.compile(plain[0]), torch.compile(plain[1])
        try:
            self._try(frames)
        except Exception as error:
            if choice is Compile.ON:
                line = str(error).strip().splitlines()[0]
                raise ValueError(f"the training step cannot be compiled: {line}") from error
            _log.info("the training step is not compiled: %s", error)
            self._network, self.losses = plain
        else:
            self.is_compiled = True

    def evaluate(self, frames: Frames, losses: LossSettings) -> Evaluated:
        """Augment a batch, lift every view of it, and evaluate the losses."""
        config, root = self.config, self.lifter.skeleton.root
        with record_function("augmentation"):
            frames, shown = augmented(
                frames, config.augmentation, self.lifter.skeleton, self._cameras
            )
        with record_function("network"), self._precision():
            poses, whitening = lift_views(
                self._network, frames, shown, per_view_batchnorm=config.per_view_batchnorm
            )
        with record_function("losses"), whole_batch():
            terms = self.losses(poses, frames, root, losses)
            if whitening is None:
                return Evaluated(frames, poses, terms)
            likelihood = likelihood_loss(poses, whitening, frames, self.lifter)
        return Evaluated(frames, poses, terms, likelihood)

    def update(self, evaluated: Evaluated, losses: LossSettings) -> None:
        """Change the weights by one step of the optimizer."""
        self._optimizer.zero_grad(set_to_none=True)
        with record_function("gradients"), self._precision():
            _total(evaluated, losses).backward()
        average_gradients(self.lifter)
        if self.config.reset_adam:
            self._optimizer.state.clear()
        with record_function("optimizer"):
            self._optimizer.step()

    def _try(self, frames: Frames) -> None:
        """Evaluate and differentiate once; the network stays as it was."""
        buffers = {name: one.clone() for name, one in self.lifter.named_buffers()}
        try:
            losses = self.config.losses
            _total(self.evaluate(frames, losses), losses).backward()
        finally:
            self._optimizer.zero_grad(set_to_none=True)
            for name, one in self.lifter.named_buffers():
                one.copy_(buffers[name])

    def _precision(self) -> AbstractContextManager[None]:
        return tensor_float_32(enabled=self._on_cuda and self.config.tf32)

    def gradient_shares(self, evaluated: Evaluated, losses: LossSettings) -> Float[Tensor, "terms"]:
        """Compute the share of each weighted loss in the gradient at the network's output."""
        poses = evaluated.poses.detach().requires_grad_()
        with whole_batch():
            terms = loss_terms(poses, evaluated.frames, self.lifter.skeleton.root, losses)
        return gradient_shares(poses, terms, losses.weights)


def _total(evaluated: Evaluated, losses: LossSettings) -> Float[Tensor, ""]:
    """Return what a step lowers: the weighted losses, and the loss of the ellipsoids."""
    return weighted_sum(evaluated.terms, losses.weights) + evaluated.likelihood
