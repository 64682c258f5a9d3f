"""A network for one pose at a time: it reads from memory only the weights that the pose needs.

The time of one pose is that of reading the weights: 10.6 million numbers at 1,024 units. Three
things make it less. Batch normalization is part of the layers. The last layer of the encoder and
the first of the decoder, with nothing between them, are one. And about half of the inputs of a
layer are zero after a ReLU: the columns of the weights that would be multiplied by zero are not
read.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from inspect import unwrap
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from numpy.typing import NDArray
from torch import Tensor, nn

from selfsup_lifting.training.lifter import CONFIDENCE_UNIT, Lifter, merge_batchnorm

Array = NDArray[Any]
Layer = tuple[Array, Array]
# Products and sums may be fused, and zero has no sign.
FAST_MATH = {"contract", "nsz"}


def for_one_pose(lifter: Lifter) -> Lifter:
    """Return a copy of a trained network that lifts single poses on the CPU faster.

    Args:
        lifter: A trained network in evaluation mode.

    Returns:
        A network of the same function, up to round-off, that cannot be trained or saved. Without
        Numba, batch normalization is merged and nothing else.
    """
    merged, add_columns = merge_batchnorm(lifter).float().cpu(), _add_columns()
    if add_columns is not None:
        merged.encoder = _SparseNetwork(merged, add_columns)  # type: ignore[assignment]
        merged.decoder.layers = nn.Sequential(merged.decoder.layers[-1])
    return merged


class OnePose:
    """Lift one pose after the other, with few operations.

    What is before and after the layers is done by NumPy, which starts small operations faster than
    PyTorch; but not for `turn_to_root` and `average_mirrored`.

    Attributes:
        lifter: The network, from `for_one_pose`.
    """

    def __init__(self, lifter: Lifter) -> None:
        self.lifter = for_one_pose(lifter)
        settings, root = lifter.settings, list(lifter.skeleton.root)
        self._root, self._with_confidence = root, settings.confidence_input
        self._hidden: Callable[[Array], Array] | None = None
        network: nn.Module = self.lifter.encoder
        if not isinstance(network, _SparseNetwork):
            return
        if settings.turn_to_root or settings.average_mirrored:
            return
        self._hidden = network.hidden
        # The unit and the root are part of the last layer.
        (last,) = (one for one in self.lifter.decoder.modules() if isinstance(one, nn.Linear))
        weights = last.weight.unflatten(0, (-1, 3)) * settings.output_unit
        bias = last.bias.unflatten(0, (-1, 3)) * settings.output_unit
        self._weights = (weights - weights[root].mean(dim=0)).flatten(0, 1).numpy()
        self._bias = (bias - bias[root].mean(dim=0)).flatten().numpy()

    def __call__(
        self,
        image: Float[Tensor, "joints 2"],
        seen: Bool[Tensor, "joints"],
        confidence: Float[Tensor, "joints"],
    ) -> Float[Tensor, "joints 3"]:
        """Return the joints as the lifter does; NaN if none was seen."""
        if not seen.any():
            return torch.full((len(seen), 3), torch.nan, dtype=torch.float32)
        if self._hidden is None:
            return self.lifter(image, seen, confidence)  # type: ignore[no-any-return]
        features = self._features(image.numpy(), seen.numpy(), confidence.numpy())
        points = self._weights @ self._hidden(features) + self._bias
        return torch.from_numpy(points.reshape(-1, 3))

    def _features(
        self,
        image: Float[np.ndarray, "joints 2"],
        seen: Bool[np.ndarray, "joints"],
        confidence: Float[np.ndarray, "joints"],
    ) -> Float[np.ndarray, "inputs"]:
        """Center the image on the root, as `centered_on_root`."""
        chosen = self._root if seen[self._root].all() else seen
        values = np.where(seen[:, None], image - image[chosen].mean(axis=0), 0.0)
        if self._with_confidence:
            trust = CONFIDENCE_UNIT * np.where(seen, confidence, 0.0)
            values = np.concatenate([values, trust[:, None]], axis=-1)
        return values.ravel().astype(np.float32)


class _SparseNetwork(nn.Module):
    """The encoder and the decoder up to its last layer, for poses one after the other."""

    def __init__(self, merged: Lifter, add_columns: Callable[..., None]) -> None:
        super().__init__()
        self._blocks, self._add_columns = merged.settings.blocks, add_columns
        modules = [*merged.encoder.modules(), *merged.decoder.modules()]
        *linear, _ = [layer for layer in modules if isinstance(layer, nn.Linear)]
        # The encoder has one layer, blocks of two, and its last layer.
        last = 2 * self._blocks + 1
        linear[last : last + 2] = [_product(*linear[last : last + 2])]
        self._layers = list(_by_columns(linear))

    def forward(self, features: Float[Tensor, "poses inputs"]) -> Float[Tensor, "poses width"]:
        """Return the input of the last layer."""
        return torch.from_numpy(np.stack([self.hidden(row) for row in features.numpy()]))

    def hidden(self, values: Float[np.ndarray, "inputs"]) -> Float[np.ndarray, "width"]:
        """Return the input of the last layer for one pose."""
        layers = iter(self._layers)
        for _ in range(2):
            values = self._rectified(next(layers), values)
            for _ in range(self._blocks):
                inner = self._rectified(next(layers), values)
                values = values + self._rectified(next(layers), inner)
        return values

    def _rectified(self, layer: Layer, values: Array) -> Array:
        columns, bias = layer
        outputs = bias.copy()
        self._add_columns(columns, values, outputs)
        return np.maximum(outputs, 0.0)


def _product(first: nn.Linear, second: nn.Linear) -> nn.Linear:
    """Return the one layer that does what two do after each other."""
    layer = nn.Linear(first.in_features, second.out_features, dtype=torch.float32)
    weight, bias = second.weight.double(), second.bias.double()
    with torch.no_grad():
        layer.weight.copy_(weight @ first.weight.double())
        layer.bias.copy_(weight @ first.bias.double() + bias)
    return layer.requires_grad_(False)  # noqa: FBT003 - the name says it


def _by_columns(linear: Sequence[nn.Linear]) -> Iterator[Layer]:
    """Yield the weights of each layer, those of one input side by side, and its bias."""
    # One array for all weights: NumPy asks the system for large pages.
    memory = np.empty(sum(layer.weight.numel() for layer in linear), np.float32)
    for layer in linear:
        columns, memory = np.split(memory, [layer.weight.numel()])
        columns = columns.reshape(layer.in_features, layer.out_features)
        columns[:] = layer.weight.T.numpy()
        yield columns, layer.bias.numpy().copy()


def add_columns(weights: Array, inputs: Array, outputs: Array) -> None:
    """Add the columns of a matrix, times their inputs, to the outputs; eight in one pass.

    Args:
        weights: The transposed matrix: one row per input.
        inputs: The inputs; those that are zero are passed over.
        outputs: Changed in place.
    """
    used = np.flatnonzero(inputs)
    whole = len(used) - len(used) % 8
    for n in range(0, whole, 8):
        i, j, k, m = used[n], used[n + 1], used[n + 2], used[n + 3]
        p, q, r, s = used[n + 4], used[n + 5], used[n + 6], used[n + 7]
        a, b, c, d = inputs[i], inputs[j], inputs[k], inputs[m]
        e, f, g, h = inputs[p], inputs[q], inputs[r], inputs[s]
        # Each row by itself: the compiler makes vectors of the loop over contiguous numbers only.
        A, B, C, D = weights[i], weights[j], weights[k], weights[m]
        E, F, G, H = weights[p], weights[q], weights[r], weights[s]
        for o in range(len(outputs)):
            first = (a * A[o] + b * B[o]) + (c * C[o] + d * D[o])
            outputs[o] += first + ((e * E[o] + f * F[o]) + (g * G[o] + h * H[o]))
    for i in used[whole:]:
        for o in range(len(outputs)):
            outputs[o] += inputs[i] * weights[i][o]


@cache
def _add_columns() -> Callable[..., None] | None:
    """Compile the loop by Numba; None if it is not installed."""
    try:
        import numba
    except ImportError:
        return None
    compile_loop = numba.njit(fastmath=FAST_MATH, error_model="numpy")
    # A checker of annotations wraps the function, which Numba could not compile.
    compiled: Callable[..., None] = compile_loop(unwrap(add_columns))
    return compiled
