"""Rotations, alignments and small eigenvectors as differentiable steps."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from multiview_geom._kernels import engines
from multiview_geom._kernels.differentiable import Inputs, Kernel, Outputs, differentiable
from multiview_geom._kernels.rotation import reference
from multiview_geom._kernels.rotation.reference import TIE, Transforms

LOOPS = "multiview_geom._kernels.rotation.cpu"
ALIGNMENT_LOOPS = "multiview_geom._kernels.rotation.cpu_alignment"

# The number of dimensions that the engines serve; the reference serves all.
KERNEL_SIZE = 3


def nearest_rotation(matrices: Tensor) -> Tensor:
    """Find the nearest rotations of square matrices, one per item."""
    if matrices.shape[-1] != KERNEL_SIZE:
        return reference.nearest_rotation(matrices)
    return _rotation_kernel(matrices)[0]


def align(source: Tensor, target: Tensor, weights: Tensor | None, *, scaled: bool) -> Transforms:
    """Find the transforms from source to target sets of points, one per item."""
    if source.shape[-1] != KERNEL_SIZE:
        return reference.align(source, target, weights, scaled)
    kernel = _similarity_kernel if scaled else _rigid_kernel
    return kernel(source, target, weights)  # type: ignore[return-value]


def smallest_eigenvector(matrices: Tensor) -> Tensor:
    """Find the lowest eigenvectors of matrices of three or four rows, one per item."""
    return _eigenvector_kernel(matrices)[0]


def _array(tensor: Tensor) -> Any:  # noqa: ANN401 - NumPy's own type
    """Return a tensor as a flat array, copied only where its numbers lie apart."""
    return tensor.detach().reshape(-1).numpy()


def _rotate(matrices: Tensor) -> Outputs:
    found = torch.empty_like(matrices, memory_format=torch.contiguous_format)
    rotate, arrays = engines.numba_functions(LOOPS)["nearest_rotations"], _array(matrices)
    target = _array(found)
    count = len(matrices)
    engines.split(lambda first, last: rotate(arrays, first, last, target), count)
    return (found,)


def _turn_back(inputs: Inputs, outputs: Outputs, gradients: Outputs) -> Inputs:
    found = torch.empty_like(outputs[0])
    turn = engines.numba_functions(LOOPS)["turn_rotations"]
    at, changes = (_array(inputs[0]), _array(outputs[0])), _array(gradients[0])
    tie, target, count = TIE * torch.finfo(found.dtype).eps, _array(found), len(found)
    engines.split(lambda first, last: turn(at, changes, tie, first, last, target), count)
    return (found,)


def _sets(source: Tensor, target: Tensor, weights: Tensor | None) -> tuple[Any, ...]:
    """Return what the loops read of point sets."""
    from_, from_strides = engines.flat(source)
    to, to_strides = engines.flat(target)
    trust, strides = (from_[:0], (0, 0)) if weights is None else engines.flat(weights)
    points = source.shape[1]
    return from_, from_strides, to, to_strides, trust, strides, weights is not None, points


def _split_sets(work: Callable[[int, int], object], source: Tensor) -> None:
    """Do work on ranges of sets."""
    points = max(source.shape[1], 1)
    engines.split(
        lambda first, last: work(first // points, last // points),
        len(source) * points,
        step=points,
    )


def _align(source: Tensor, target: Tensor, weights: Tensor | None, *, scaled: bool) -> Outputs:
    outputs = tuple(source.new_empty(shape) for shape in _shapes_of_transforms(source))
    loop = engines.numba_functions(ALIGNMENT_LOOPS)["align"]
    sets, arrays = _sets(source, target, weights), tuple(_array(output) for output in outputs)
    _split_sets(lambda first, last: loop(sets, scaled, first, last, arrays), source)
    return outputs


def _align_back(inputs: Inputs, outputs: Outputs, gradients: Outputs, *, scaled: bool) -> Inputs:
    source, target, weights = inputs
    found = tuple(
        source.new_empty(0) if each is None else each.new_empty(each.shape) for each in inputs
    )
    loop = engines.numba_functions(ALIGNMENT_LOOPS)["differentiate"]
    sets, tie = _sets(source, target, weights), TIE * torch.finfo(source.dtype).eps
    arrays = [tuple(_array(each) for each in group) for group in (outputs, gradients, found)]
    _split_sets(lambda first, last: loop(sets, scaled, tie, first, last, *arrays), source)
    return found[0], found[1], None if weights is None else found[2]


def _shapes_of_transforms(source: Tensor, *_: Tensor | None) -> tuple[tuple[int, ...], ...]:
    count = source.shape[0]
    return (count, 3, 3), (count, 3), (count,)


def _eigenvector(matrices: Tensor) -> Outputs:
    found = matrices.new_empty(matrices.shape[:-1])
    loop = engines.numba_functions(LOOPS)["smallest_eigenvectors"]
    arrays, target, (count, size) = _array(matrices), _array(found), found.shape
    engines.split(lambda first, last: loop(arrays, size, first, last, target), count)
    return (found,)


def _eigenvector_back(inputs: Inputs, outputs: Outputs, gradients: Outputs) -> Inputs:
    (vectors,) = outputs
    turns = torch.empty_like(vectors)
    loop = engines.numba_functions(LOOPS)["turn_eigenvectors"]
    arrays = [_array(tensor) for tensor in (*inputs, *gradients)]
    tie, target, (count, size) = TIE * torch.finfo(turns.dtype).eps, _array(turns), turns.shape
    engines.split(lambda first, last: loop(*arrays, size, tie, (first, last), target), count)
    outer = turns[..., :, None] * vectors[..., None, :]
    return (-(outer + outer.mT) / 2,)


_rotation_kernel = differentiable(
    Kernel(
        name="nearest_rotation",
        inputs=("Tensor",),
        outputs=1,
        reference=lambda matrices: (reference.nearest_rotation(matrices),),
        shapes=lambda matrices: (matrices.shape,),
        on_cpu=_rotate,
        pull_back_on_cpu=_turn_back,
    )
)
_rigid_kernel, _similarity_kernel = (
    differentiable(
        Kernel(
            name=name,
            inputs=("Tensor", "Tensor", "Tensor?"),
            outputs=3,
            reference=partial(reference.align, scaled=scaled),
            shapes=_shapes_of_transforms,
            on_cpu=partial(_align, scaled=scaled),
            pull_back_on_cpu=partial(_align_back, scaled=scaled),
        )
    )
    for name, scaled in (("align_rigid", False), ("align_similarity", True))
)
_eigenvector_kernel = differentiable(
    Kernel(
        name="smallest_eigenvector",
        inputs=("Tensor",),
        outputs=1,
        reference=lambda matrices: (reference.smallest_eigenvector(matrices),),
        shapes=lambda matrices: (matrices.shape[:-1],),
        on_cpu=_eigenvector,
        pull_back_on_cpu=_eigenvector_back,
    )
)
