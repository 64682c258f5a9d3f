"""The network: a residual MLP from 2D joints to 3D joints."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from itertools import zip_longest
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_linear_bn_eval

from multiview_geom import from_homogeneous, to_homogeneous
from selfsup_lifting.config import LifterSettings
from selfsup_lifting.skeleton.skeletons import (
    Skeleton,
    centered_on_root,
    root_in_image,
    root_position,
)
from selfsup_lifting.training.ellipsoids import NUMBERS, covariances, whitening_matrices

# The default initialization gives first poses several meters wide, some of them behind a camera,
# where a projection is meaningless; a tenth of it starts near the root.
OUTPUT_SCALE = 0.1

# A confidence of 1 as an input, in focal lengths: about the deviation of a joint's coordinate. An
# input of size 1 would hide the coordinates in its variation until a training is long.
CONFIDENCE_UNIT = 0.1


class Lifted(NamedTuple):
    """One pass of the network.

    Attributes:
        poses: The joints relative to the root, in the camera's axes [m].
        hidden: The features that the poses are a linear function of.
        turn: The turn of the camera to the root; None without `turn_to_root`.
    """

    poses: Float[Tensor, "*batch joints 3"]
    hidden: Float[Tensor, "poses width"]
    turn: Float[Tensor, "*batch 3 3"] | None


class Lifter(nn.Module):
    """Lift one view's 2D pose to a 3D pose in that camera's axes, its root at the origin.

    Reference:
        Martinez et al., A simple yet effective baseline for 3d human pose estimation, ICCV 2017;
        Bouazizi et al., FG 2021, sec. III-C.
    """

    def __init__(self, skeleton: Skeleton, settings: LifterSettings) -> None:
        super().__init__()
        self.skeleton = skeleton
        self.settings = settings
        joints, width = len(skeleton.joints), settings.width
        numbers = 3 if settings.confidence_input else 2
        self.encoder = _Coder(
            numbers * joints, nn.Linear(width, width, dtype=torch.float32), settings
        )
        self.decoder = _Coder(width, _output_layer(width, 3 * joints), settings)
        if settings.uncertainty:  # last, so that it changes no other weight of a seed
            self.whitening = _output_layer(width, NUMBERS * joints)
            self.error_unit = nn.Buffer(torch.ones((), dtype=torch.float32))
            self.ellipsoid_scale = nn.Buffer(torch.ones((), dtype=torch.float32))

    def forward(
        self,
        image: Float[Tensor, "*batch joints 2"],
        seen: Bool[Tensor, "*batch joints"],
        confidence: Float[Tensor, "*batch joints"] | None = None,
    ) -> Float[Tensor, "*batch joints 3"]:
        """Lift poses.

        Args:
            image: Keypoints in normalized image coordinates [focal lengths]; any value, even NaN,
                where not detected.
            seen: Which keypoints were detected.
            confidence: The detector's confidence, 1 by default; used only with
                `settings.confidence_input`.

        Returns:
            The joints relative to the root, in the camera's axes [m]. The output for a pose
            without any detection is meaningless: see `inference.lift`.
        """
        poses = self._pass(image, seen, confidence).poses
        if not self._averages:
            return poses
        order, flip = self.skeleton.mirror_order, _flip(image)
        other = self._pass(*self._mirrored(image, seen, confidence)).poses
        return (poses + other[..., order, :] * flip) / 2

    def with_whitening(
        self,
        image: Float[Tensor, "*batch joints 2"],
        seen: Bool[Tensor, "*batch joints"],
        confidence: Float[Tensor, "*batch joints"] | None = None,
    ) -> tuple[Float[Tensor, "*batch joints 3"], Float[Tensor, "*batch joints 3 3"] | None]:
        """Lift poses in one pass, and whiten their errors if `settings.uncertainty` asks for it.

        Returns:
            The poses as from `forward` in training, and the matrices that whiten the errors of
            their joints [1 / error_unit]; the gradient of these reaches the last layer alone.
        """
        lifted = self._pass(image, seen, confidence)
        if not self.settings.uncertainty:
            return lifted.poses, None
        numbers = self.whitening(lifted.hidden.detach()).view(*lifted.poses.shape[:-1], NUMBERS)
        matrices = whitening_matrices(numbers)
        if lifted.turn is not None:
            matrices = matrices @ lifted.turn[..., None, :, :]
        return lifted.poses, matrices

    def covariances(
        self,
        image: Float[Tensor, "*batch joints 2"],
        seen: Bool[Tensor, "*batch joints"],
        confidence: Float[Tensor, "*batch joints"] | None = None,
    ) -> Float[Tensor, "*batch joints 3 3"]:
        """Return how sure the network is of the poses that `forward` lifts from the same input.

        Returns:
            The covariance of each joint, in the camera's axes [m^2]: that of a normal distribution
            whose ellipsoid for 90 % holds 90 % of the errors. A root of one joint has none.
        """
        covariance = self._covariance(image, seen, confidence)
        if self._averages:
            order, flip = self.skeleton.mirror_order, _flip(image)
            other = self._covariance(*self._mirrored(image, seen, confidence))[..., order, :, :]
            covariance = (covariance + flip[:, None] * other * flip) / 2
        has_error = torch.ones(image.shape[-2]).to(image)
        if len(self.skeleton.root) == 1:
            has_error[self.skeleton.root[0]] = 0.0
        size = self.ellipsoid_scale * self.error_unit
        return size**2 * has_error[:, None, None] * covariance

    @property
    def _averages(self) -> bool:
        return self.settings.average_mirrored and not self.training

    def _covariance(
        self, image: Tensor, seen: Tensor, confidence: Tensor | None
    ) -> Float[Tensor, "*batch joints 3 3"]:
        _, whitening = self.with_whitening(image, seen, confidence)
        if whitening is None:
            raise ValueError("this lifter was trained without `lifter.uncertainty`")
        return covariances(whitening)

    def _mirrored(
        self,
        image: Float[Tensor, "*batch joints 2"],
        seen: Bool[Tensor, "*batch joints"],
        confidence: Float[Tensor, "*batch joints"] | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the input of the mirrored image."""
        order = self.skeleton.mirror_order
        trust = None if confidence is None else confidence[..., order]
        return image[..., order, :] * _flip(image)[:2], seen[..., order], trust

    def _pass(
        self,
        image: Float[Tensor, "*batch joints 2"],
        seen: Bool[Tensor, "*batch joints"],
        confidence: Float[Tensor, "*batch joints"] | None,
    ) -> Lifted:
        turn = None
        if self.settings.turn_to_root:
            turn = turn_to(root_in_image(image, seen, self.skeleton.root)[..., 0, :])
            image = from_homogeneous(to_homogeneous(image) @ turn.mT)
        centered = centered_on_root(image, seen, self.skeleton.root)
        if self.settings.confidence_input:
            trust = seen.to(image.dtype) * (1.0 if confidence is None else confidence)
            centered = torch.cat([centered, CONFIDENCE_UNIT * trust[..., None]], dim=-1)
        latent = self.encoder(centered.reshape(-1, centered.shape[-2] * centered.shape[-1]))
        *layers, last = self.decoder.layers
        hidden = _in_order(layers, latent)
        poses = last(hidden).unflatten(-1, (-1, 3))
        poses = self.settings.output_unit * poses
        poses = poses - root_position(poses, self.skeleton.root)
        poses = poses.reshape(*image.shape[:-1], 3)
        return Lifted(poses if turn is None else poses @ turn, hidden, turn)


@contextmanager
def in_evaluation(lifter: Lifter) -> Iterator[Lifter]:
    """Put a network in evaluation mode; afterwards it has the mode that it had."""
    training = lifter.training
    try:
        yield lifter.eval()
    finally:
        lifter.train(training)


def _flip(image: Tensor) -> Float[Tensor, "3"]:
    """Return the signs of coordinates in a mirror."""
    return torch.tensor([-1.0, 1.0, 1.0], dtype=image.dtype, device=image.device)


def _in_order(layers: Iterable[nn.Module], features: Tensor) -> Tensor:
    for layer in layers:
        features = layer(features)
    return features


def turn_to(image: Float[Tensor, "*batch 2"]) -> Float[Tensor, "*batch 3 3"]:
    """Return the smallest rotation of a camera that moves an image point to the center.

    Args:
        image: Points in normalized image coordinates [focal lengths].

    Returns:
        The axes of the turned camera, given those of the camera.
    """
    ray = to_homogeneous(image)
    x, y, z = (ray / ray.norm(dim=-1, keepdim=True)).unbind(dim=-1)
    rows = [1 - x * x / (1 + z), -x * y / (1 + z), -x, -x * y / (1 + z), 1 - y * y / (1 + z), -y]
    return torch.stack([*rows, x, y, z], dim=-1).unflatten(-1, (3, 3))  # type: ignore[no-any-return]


def require_lifter(lifter: object) -> None:
    """Refuse what is no `Lifter` in single precision; a compiled one is a `Lifter`."""
    if not isinstance(lifter, nn.Module) or not hasattr(lifter, "skeleton"):
        got = type(lifter).__name__
        raise ValueError(f"`lifter` must be a Lifter, as `load_lifter` returns it, got {got}")
    odd = next((one.dtype for one in lifter.parameters() if one.dtype is not torch.float32), None)
    if odd is not None:
        raise ValueError(
            f"`lifter` must have weights of torch.float32, got {odd}: lifter.float() converts them"
        )


def merge_batchnorm(lifter: Lifter) -> Lifter:
    """Return a faster copy of a trained network: batch normalization is part of the layers.

    Args:
        lifter: A trained network in evaluation mode.

    Returns:
        A network of the same function, up to round-off, that cannot be trained or saved.
    """
    copy = deepcopy(lifter).eval()
    for part in copy.modules():
        if isinstance(part, _Coder | _ResidualBlock):
            part.layers = nn.Sequential(*_merged(part.layers))
    return copy.requires_grad_(False)  # noqa: FBT003 - the name says it


def _merged(layers: nn.Sequential) -> Iterator[nn.Module]:
    """Yield the layers, each batch normalization merged with the layer before, without dropout."""
    for layer, after in zip_longest(layers, list(layers)[1:]):
        if isinstance(layer, nn.Linear) and isinstance(after, nn.BatchNorm1d):
            yield fuse_linear_bn_eval(layer, after)
        elif not isinstance(layer, nn.BatchNorm1d | nn.Dropout):
            yield layer


class _Coder(nn.Module):
    """A linear unit, residual blocks and a last layer: the form of both encoder and decoder."""

    def __init__(self, inputs: int, last: nn.Linear, settings: LifterSettings) -> None:
        super().__init__()
        width, dropout = settings.width, settings.dropout
        self.layers = nn.Sequential(
            *_linear_unit(inputs, width, dropout),
            *(_ResidualBlock(width, dropout) for _ in range(settings.blocks)),
            last,
        )

    def forward(self, features: Float[Tensor, "poses inputs"]) -> Float[Tensor, "poses outputs"]:
        return self.layers(features)  # type: ignore[no-any-return]


class _ResidualBlock(nn.Module):
    """Two linear units with a skip connection."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *_linear_unit(width, width, dropout), *_linear_unit(width, width, dropout)
        )

    def forward(self, features: Float[Tensor, "poses width"]) -> Float[Tensor, "poses width"]:
        return features + self.layers(features)  # type: ignore[no-any-return]


def _output_layer(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs, dtype=torch.float32)
    with torch.no_grad():
        layer.weight.mul_(OUTPUT_SCALE)
        layer.bias.mul_(OUTPUT_SCALE)
    return layer


def _linear_unit(inputs: int, outputs: int, dropout: float) -> tuple[nn.Module, ...]:
    layer = nn.Linear(inputs, outputs, dtype=torch.float32)
    return layer, nn.BatchNorm1d(outputs, dtype=torch.float32), nn.ReLU(), nn.Dropout(dropout)
