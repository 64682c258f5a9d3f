"""Undistortion as a differentiable step."""

from collections.abc import Sequence

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
from multiview_geom._kernels.lens import reference
from multiview_geom._kernels.lens.algebra import Limits
from multiview_geom._kernels.lens.reference import Distortion, Intrinsics, Pixels, Table

CUDA = "multiview_geom._kernels.lens.cuda"
LOOPS = "multiview_geom._kernels.lens.cpu"


def undistort(
    pixels: Pixels, intrinsics: Intrinsics, distortion: Distortion, table: Table
) -> Pixels:
    """Find ideal pixels, NaN where not valid; lenses are given once, or once per frame.

    `table` has all of them in rows of numbers; see `table.py`. It passes no gradient.
    """
    return _undistortion(pixels, intrinsics, distortion, table)[0]


def _undistort(*inputs: Given) -> Outputs:
    pixels, table = inputs[0], inputs[3]
    found, kind = pixels.new_empty(pixels.shape), table.numpy().dtype.type
    of_step, nearest, steps = _limits(inputs)
    limits = tuple(map(kind, of_step)), kind(nearest), steps
    _run("undistort", engines.flat(pixels), inputs, (limits,), found)
    return (found,)


def _pull_back(inputs: Inputs, outputs: Outputs, gradients: Outputs, wanted: Wanted) -> Inputs:
    if any(wanted[1:]):
        return _KERNEL.pull_back_by_tensors(inputs, outputs, gradients)
    found = inputs[0].new_empty(inputs[0].shape)
    given = tuple(engines.flat(each) for each in (inputs[0], *outputs, *gradients))
    _run("differentiate", given, inputs, (), found)
    return found, None, None, None


def _run(loop: str, given: object, inputs: Inputs, limits: Sequence[object], found: Tensor) -> None:
    """Run a loop over the points of all lenses, in as many threads as torch has."""
    pixels, *_, table = inputs
    start, sizes = engines.numba_functions(LOOPS)[loop], tuple(pixels.shape[1:3])
    lenses = table.detach().contiguous().flatten(0, 1).numpy()
    (target,) = engines.flat_arrays(found)
    engines.split(
        lambda first, last: start(given, sizes, lenses, *limits, (first, last), target),
        found[..., 0].numel(),
    )


def _undistort_on_cuda(*inputs: Given) -> Outputs:
    pixels, found = inputs[0], inputs[0].new_empty(inputs[0].shape)
    _launch("undistort", pixels, inputs, found, pixels.stride(), _limits(inputs))
    return (found,)


def _pull_back_on_cuda(
    inputs: Inputs, outputs: Outputs, gradients: Outputs, wanted: Wanted
) -> Inputs:
    if any(wanted[1:]):
        return _KERNEL.pull_back_by_tensors(inputs, outputs, gradients)
    given, found = (inputs[0], *outputs, *gradients), inputs[0].new_empty(inputs[0].shape)
    _launch("differentiate", given, inputs, found, tuple(each.stride() for each in given))
    return found, None, None, None


def _launch(kernel: str, given: object, inputs: Inputs, found: Tensor, *rest: object) -> None:
    """Launch a kernel, whose programs each compute points of one lens."""
    pixels, *_, table = inputs
    views, points = pixels.shape[1:3]
    lenses = table.shape[0] * views
    if not found.numel():
        return
    per_lens = found.numel() // (2 * lenses)
    programs = -(-per_lens // int(engines.triton_functions(CUDA)["LANES"].value))
    sizes = views, points, per_lens, programs
    grid = (lenses * programs,)
    engines.launch_on_grid(CUDA, kernel, grid, given, table.contiguous(), found, sizes, *rest)


def _limits(inputs: Inputs) -> tuple[Limits, float, int]:
    """Return the limits of a step, those of a guess, and how many more steps there are."""
    pixels, _, distortion, _ = inputs
    rational = reference.is_rational(distortion)
    of_step = reference.limits_of(pixels.dtype, rational=rational)
    steps = reference.STEPS_NEAR_POLES if rational else 0
    return of_step, reference.MIN_DISTANCE_TO_FOLD, steps


_KERNEL = Kernel(
    name="undistort",
    inputs=("Tensor", "Tensor", "Tensor", "Tensor"),
    outputs=1,
    reference=lambda *inputs: (reference.undistort(*inputs),),
    shapes=lambda pixels, *_: (pixels.shape,),
    numba=(_undistort, _pull_back),
    triton=(_undistort_on_cuda, _pull_back_on_cuda),
    shared=(1, 2, 3),
    restart=lambda inputs, found: (reference.restart(inputs, *found),),
)
_undistortion = differentiable(_KERNEL)
