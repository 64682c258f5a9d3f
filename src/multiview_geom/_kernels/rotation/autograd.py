"""Rotations, alignments and small eigenvectors as differentiable steps."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from multiview_geom._kernels import engines
from multiview_geom._kernels.differentiable import (
    Given,
    Inputs,
    Kernel,
    Outputs,
    Wanted,
    differentiable,
)
from multiview_geom._kernels.rotation import algebra, reference
from multiview_geom._kernels.rotation.cpu_alignment import Sets
from multiview_geom._kernels.rotation.reference import TIE, Transforms

LOOPS = "multiview_geom._kernels.rotation.cpu"
ALIGNMENT_LOOPS = "multiview_geom._kernels.rotation.cpu_alignment"
CUDA = "multiview_geom._kernels.rotation.cuda"

# The number of dimensions that the engines serve; the reference serves all.
KERNEL_SIZE = 3


def nearest_rotation(matrices: Tensor) -> Tensor:
    """Find the nearest rotations of 3x3 matrices, one per item."""
    return _rotation_kernel(matrices)[0]


def align(source: Tensor, target: Tensor, weights: Tensor | None, *, scaled: bool) -> Transforms:
    """Find the transforms from source to target sets of points, one per item."""
    if source.shape[-1] != KERNEL_SIZE:
        return reference.align(source, target, weights, scaled)
    return _alignment_kernel(source, target, weights, scaled)  # type: ignore[return-value]


def smallest_eigenvector(matrices: Tensor) -> Tensor:
    """Find the lowest eigenvectors of matrices of three or four rows, one per item."""
    return _eigenvector_kernel(matrices)[0]


def _tie(tensor: Tensor) -> float:
    return float(TIE * torch.finfo(tensor.dtype).eps)


def _run(engine: str, name: str, tensors: Outputs, *numbers: float | int) -> None:
    """Run the loop or the kernel of a name; the last tensor, which has the items, is filled."""
    count = len(tensors[-1])
    if engine == "numba":
        loop, arrays = engines.numba_functions(LOOPS)[name], engines.flat_arrays(*tensors)
        engines.split(lambda first, last: loop(*arrays, first, last, *numbers), count)
    else:
        engines.launch(CUDA, name, count, *_contiguous(tensors), count, *numbers)


def _rotate(engine: str, matrices: Tensor) -> Outputs:
    found = torch.empty_like(matrices, memory_format=torch.contiguous_format)
    limits = algebra.SINGLE_GAPS, algebra.SINGLE_STEP
    if matrices.dtype == torch.float64:
        limits = algebra.DOUBLE_GAPS, algebra.DOUBLE_STEP
    _run(engine, "nearest_rotations", (matrices, found), *limits)
    return (found,)


def _turn_back(
    engine: str, inputs: Inputs, outputs: Outputs, gradients: Outputs, _: Wanted
) -> Inputs:
    found = torch.empty_like(outputs[0])
    _run(engine, "turn_rotations", (*inputs, *outputs, *gradients, found), _tie(found))
    return (found,)


def _sets(source: Tensor, target: Tensor, weights: Tensor | None) -> Sets:
    from_, from_strides = engines.flat(source)
    to, to_strides = engines.flat(target)
    trust, strides = (from_[:0], (0, 0)) if weights is None else engines.flat(weights)
    return Sets(from_, from_strides, to, to_strides, trust, strides, source.shape[1])


def _split_sets(work: Callable[[int, int], object], source: Tensor) -> None:
    """Do work on ranges of sets."""
    points = max(source.shape[1], 1)
    engines.split(
        lambda first, last: work(first // points, last // points),
        len(source) * points,
        step=points,
    )


def _align(source: Tensor, target: Tensor, weights: Tensor | None, scaled: bool) -> Outputs:  # noqa: FBT001 - an input of a kernel
    outputs = tuple(source.new_empty(shape) for shape in _shapes_of_transforms(source))
    loop = engines.numba_functions(ALIGNMENT_LOOPS)["align"]
    sets, arrays = _sets(source, target, weights), engines.flat_arrays(*outputs)
    _split_sets(lambda first, last: loop(sets, scaled, first, last, arrays), source)
    return outputs


def _align_back(inputs: Inputs, outputs: Outputs, gradients: Outputs, _: Wanted) -> Inputs:
    *given, scaled = inputs
    found = _like(given)
    filled = [inputs[0].new_empty(0) if each is None else each for each in found]
    loop = engines.numba_functions(ALIGNMENT_LOOPS)["differentiate"]
    sets, tie = _sets(*given), _tie(inputs[0])
    arrays = [engines.flat_arrays(*group) for group in (outputs, gradients, filled)]
    _split_sets(lambda first, last: loop(sets, scaled, tie, first, last, *arrays), inputs[0])
    return (*found, None)


def _align_on_cuda(*inputs: Given) -> Outputs:
    *given, scaled = inputs
    sets = _contiguous(given)
    outputs = tuple(sets[0].new_empty(shape) for shape in _shapes_of_transforms(sets[0]))
    sizes = sets[0].shape[:2]
    engines.launch(CUDA, "align", sizes[0], sets, outputs, tuple(sizes), scaled)
    return outputs


def _align_back_on_cuda(inputs: Inputs, outputs: Outputs, gradients: Outputs, _: Wanted) -> Inputs:
    *sets, scaled = inputs
    found, sizes = _like(sets), tuple(inputs[0].shape[:2])
    given = (_contiguous(group) for group in (sets, outputs, gradients))
    numbers = (*sizes, _tie(inputs[0]))
    engines.launch(CUDA, "differentiate", sizes[0], *given, found, numbers, scaled)
    return (*found, None)


def _contiguous(tensors: Sequence[Given]) -> Inputs:
    return tuple(None if each is None else each.contiguous() for each in tensors)


def _like(tensors: Sequence[Given]) -> Inputs:
    """Return new contiguous tensors of the same shapes."""
    return tuple(None if each is None else each.new_empty(each.shape) for each in tensors)


def _shapes_of_transforms(source: Tensor, *_: Given) -> tuple[tuple[int, ...], ...]:
    count = source.shape[0]
    return (count, 3, 3), (count, 3), (count,)


def _eigenvector(engine: str, matrices: Tensor) -> Outputs:
    found = matrices.new_empty(matrices.shape[:-1])
    _run(engine, "smallest_eigenvectors", (matrices, found), found.shape[1])
    return (found,)


def _eigenvector_back(
    engine: str, inputs: Inputs, outputs: Outputs, gradients: Outputs, _: Wanted
) -> Inputs:
    (vectors,) = outputs
    turns = torch.empty_like(vectors)
    tensors = (*inputs, *gradients, turns)
    _run(engine, "turn_eigenvectors", tensors, _tie(turns), vectors.shape[1])
    # The gradient is that in the symmetric part of the matrices.
    product = turns[..., :, None] * vectors[..., None, :]
    return (-(product + product.mT) / 2,)


def _bound(engine: str, *functions: Callable[..., Any]) -> tuple[Any, ...]:
    return tuple(partial(each, engine) for each in functions)


_rotation_kernel = differentiable(
    Kernel(
        name="nearest_rotation",
        inputs=("Tensor",),
        outputs=1,
        reference=lambda matrices: (reference.nearest_rotation(matrices),),
        shapes=lambda matrices: (matrices.shape,),
        numba=_bound("numba", _rotate, _turn_back),
        triton=_bound("triton", _rotate, _turn_back),
    )
)
_alignment_kernel = differentiable(
    Kernel(
        name="align",
        inputs=("Tensor", "Tensor", "Tensor?", "bool"),
        outputs=3,
        reference=reference.align,
        shapes=_shapes_of_transforms,
        numba=(_align, _align_back),
        triton=(_align_on_cuda, _align_back_on_cuda),
    )
)
_eigenvector_kernel = differentiable(
    Kernel(
        name="smallest_eigenvector",
        inputs=("Tensor",),
        outputs=1,
        reference=lambda matrices: (reference.smallest_eigenvector(matrices),),
        shapes=lambda matrices: (matrices.shape[:-1],),
        numba=_bound("numba", _eigenvector, _eigenvector_back),
        triton=_bound("triton", _eigenvector, _eigenvector_back),
    )
)
