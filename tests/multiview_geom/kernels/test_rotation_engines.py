"""Laws of the engines of rotations: whichever computes, values and gradients are the same."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch._dynamo.testing
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.export import Dim, export

from multiview_geom import align_rigid, align_similarity, nearest_rotation, smallest_eigenvector
from tests.multiview_geom.kernels.engine_choice import computed_by, every_engine, interpreted
from tests.multiview_geom.tolerances import assert_close

MANY = 20_000

Function = Callable[[Tensor], Tensor]
# Each takes n 3x3 matrices; the rows of one are three points.
FUNCTIONS: dict[str, Function] = {
    "nearest_rotation": nearest_rotation,
    "align_rigid": lambda m: align_rigid(m, m.roll(1, dims=-1).cos()).apply(m),
    "align_similarity": lambda m: align_similarity(m, m.roll(1, dims=-1).cos()).apply(m),
    "weighted": lambda m: align_similarity(m, m.sin(), weights=0.5 + m[..., 0].square()).apply(m),
    "smallest_eigenvector": smallest_eigenvector,
}
every_function = pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())


def drawn(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, 3, 3, generator=torch.Generator().manual_seed(seed)).double()


def value_and_gradient(function: Function, matrices: Tensor) -> tuple[Tensor, Tensor]:
    given_ = matrices.clone().requires_grad_()
    value = function(given_)
    return value.detach(), torch.autograd.grad(value.sin().sum(), given_)[0]


@every_function
@every_engine
@interpreted
@given(seed=st.integers(0, 10_000), count=st.integers(0, 300))
def test_the_loops_agree_with_the_reference(
    function: Function, engine: str, seed: int, count: int
) -> None:
    matrices = drawn(seed, count)
    with computed_by(engine):
        found = value_and_gradient(function, matrices)
    with computed_by("reference"):
        expected = value_and_gradient(function, matrices)
    # The gradient is as large as one over the smallest gap, its rounding as that squared.
    largest = expected[1].abs().amax(dim=(1, 2)) if count else torch.zeros(0)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        error = (one - other).flatten(1).abs().amax(dim=1) if count else torch.zeros(0)
        assert (error <= 1e-10 * (1 + largest.square())).all()


@every_function
def test_a_matrix_that_is_not_finite_leaves_its_neighbors_alone(function: Function) -> None:
    matrices = drawn(0, 5)
    expected = value_and_gradient(function, matrices)
    matrices[2, 1, 1] = torch.nan
    found = value_and_gradient(function, matrices)
    for one, other in zip(found, expected, strict=True):
        kept = [0, 1, 3, 4]
        assert torch.equal(one[kept], other[kept])


@every_function
def test_the_number_of_threads_does_not_matter(function: Function) -> None:
    matrices, results, before = drawn(0, MANY), [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(value_and_gradient(function, matrices))
    finally:
        torch.set_num_threads(before)
    for result in results[1:]:
        assert all(torch.equal(one, two) for one, two in zip(results[0], result, strict=True))


@every_function
def test_python_threads_do_not_disturb_each_other(function: Function) -> None:
    batches = drawn(0, 8, MANY)
    expected = [function(batch) for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(function, batches))
    assert all(torch.equal(one, two) for one, two in zip(expected, found, strict=True))


@every_function
def test_memory_is_read_where_it_lies(function: Function) -> None:
    strided = drawn(0, 40).permute(0, 2, 1)[::3].flip(0)
    assert torch.equal(function(strided), function(strided.contiguous()))


@every_function
def test_a_number_of_items_that_changes_is_compiled_twice_at_most(function: Function) -> None:
    torch.compiler.reset()
    counter = torch._dynamo.testing.CompileCounterWithBackend("aot_eager")
    compiled = torch.compile(function, dynamic=True, fullgraph=True, backend=counter)
    for count in (3, 4, 5, 8, 13):
        assert_close(compiled(drawn(count, count)), function(drawn(count, count)), atol=1e-12)
    assert counter.frame_count <= 2


@every_function
def test_it_exports_with_any_number_of_items(function: Function) -> None:
    class Module(torch.nn.Module):
        def forward(self, matrices: Tensor) -> Tensor:
            return function(matrices)

    sizes = ({0: Dim("count", min=2, max=4096)},)
    program = export(Module(), (drawn(0, 3),), dynamic_shapes=sizes).module()
    assert_close(program(drawn(1, 7)), function(drawn(1, 7)), atol=1e-12)


@every_function
def test_transforms_inside_a_compiler_are_those_outside(function: Function) -> None:
    def bend(matrices: Tensor) -> Tensor:
        slope = torch.func.grad(lambda m: function(m).sin().sum())
        return torch.func.grad(lambda m: slope(m).sin().sum())(matrices)

    torch.compiler.reset()
    compiled, matrices = torch.compile(bend, backend="aot_eager"), drawn(0, 4)
    expected = bend(matrices)
    assert expected.abs().max() > 1e-3
    assert_close(compiled(matrices), expected, atol=1e-9 * float(expected.abs().max()))


@every_function
def test_shapes_are_known_without_numbers(function: Function) -> None:
    assert function(torch.empty(5, 3, 3, device="meta")).shape == function(drawn(0, 5)).shape
    assert function(drawn(0, 0)).shape == (0, *function(drawn(0, 1)).shape[1:])
