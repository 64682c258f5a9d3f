"""Kernels as differentiable steps: many items along the first axis, none of which sees another.

The value and the gradient come from the fastest engine at hand; derivatives of the gradient,
forward derivatives and what `torch.func` asks for inside a compiler come from tensor operations.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from inspect import signature
from typing import Any, TypeAlias

import torch
from torch import Tensor

from multiview_geom._kernels import engines

Given: TypeAlias = Any
"""A tensor, None where it is absent, or a number."""
Inputs: TypeAlias = tuple[Given, ...]
Outputs: TypeAlias = tuple[Tensor, ...]
Wanted: TypeAlias = Sequence[bool]
"""Of which inputs a gradient is wanted."""
PullBack: TypeAlias = Callable[[Inputs, Outputs, Outputs, Wanted], Inputs]


@dataclass(frozen=True)
class Kernel:
    """What a kernel is made of. All functions take their inputs by position."""

    name: str
    inputs: Sequence[str]
    """What torch calls the types of the inputs: `Tensor`, `Tensor?` if it may be None, `int`."""
    outputs: int
    """How many tensors it returns."""
    reference: Callable[..., Outputs]
    """Finds the outputs in tensor operations that have first and second derivatives."""
    shapes: Callable[..., Sequence[Sequence[int]]]
    """Returns the shapes of the outputs."""
    numba: tuple[Callable[..., Outputs], PullBack]
    triton: tuple[Callable[..., Outputs], PullBack]
    """What finds the outputs; and what takes inputs, outputs, gradients in these, and which
    gradients are wanted, and returns the gradients in the inputs."""
    shared: Collection[int] = ()
    """Positions of inputs that may stand once for all items."""
    restart: Callable[[Inputs, Outputs], Outputs] | None = None
    """Does what `reference` does, but starts from outputs that are found already."""

    def compute(self, *inputs: Given) -> Outputs:
        """Find the outputs by the engine for the inputs."""
        engine = engines.choose_engine(inputs[0])
        if engine == "traced":
            return self.as_operator(*inputs)
        if engine == "reference":
            return self.reference(*inputs)
        return (self.numba if engine == "numba" else self.triton)[0](*inputs)

    def pull_back(
        self, inputs: Inputs, outputs: Outputs, gradients: Outputs, wanted: Wanted
    ) -> Inputs:
        """Return the gradients in the inputs, with a derivative if one is recorded."""
        engine = engines.choose_engine(outputs[0])
        if engine == "traced" and not engines.is_recording():
            found = self._operator("_backward")(*inputs, *outputs, *gradients, wanted)
            return _as_tuple(found)
        if engines.is_recording() or engine == "reference":
            return self.pull_back_by_tensors(inputs, outputs, gradients)
        pull_back = (self.numba if engine == "numba" else self.triton)[1]
        return pull_back(inputs, outputs, gradients, wanted)

    def pull_back_by_tensors(self, inputs: Inputs, outputs: Outputs, gradients: Outputs) -> Inputs:
        """Return the gradients in the inputs by tensor operations."""
        solve, tensors = self._of_tensors(inputs, outputs)
        found = iter(torch.func.vjp(solve, *tensors)[1](tuple(gradients)))
        return tuple(next(found) if isinstance(each, Tensor) else None for each in inputs)

    def push_forward(self, inputs: Inputs, outputs: Outputs, tangents: Inputs) -> Outputs:
        """Return how the outputs move when the inputs do.

        The pull-back is J^T times a gradient, so its own pull-back is J times a move.
        `torch.func.jvp` would not work inside the forward derivative of autograd.
        """
        solve, tensors = self._of_tensors(inputs, outputs)
        found, pull_back = torch.func.vjp(solve, *tensors)[:2]
        moved = (
            torch.zeros_like(each) if tangent is None else tangent
            for each, tangent in zip(inputs, tangents, strict=True)
            if isinstance(each, Tensor)
        )
        zeros = tuple(torch.zeros_like(each) for each in found)
        (moves,) = torch.func.vjp(pull_back, zeros)[1](tuple(moved))
        return tuple(moves)

    def in_transform(self, *inputs: Given) -> Outputs:
        """Find the outputs such that the transforms of torch.func see tensor operations only."""
        if self.restart is None:
            return self.reference(*inputs)
        still = (each.detach() if isinstance(each, Tensor) else each for each in inputs)
        return self.restart(inputs, self.as_operator(*still))

    def _of_tensors(
        self, inputs: Inputs, outputs: Outputs
    ) -> tuple[Callable[..., Outputs], list[Tensor]]:
        """Return what finds the outputs from the tensors among the inputs, and these tensors."""

        def solve(*tensors: Tensor) -> Outputs:
            left = iter(tensors)
            whole = tuple(next(left) if isinstance(each, Tensor) else each for each in inputs)
            found = self.restart(whole, outputs) if self.restart else self.reference(*whole)
            return tuple(found)

        return solve, [each for each in inputs if isinstance(each, Tensor)]

    def as_operator(self, *inputs: Given) -> Outputs:
        """Find the outputs as one node of a traced graph."""
        return _as_tuple(self._operator("")(*inputs))

    def _operator(self, suffix: str) -> Any:  # noqa: ANN401 - torch's own type
        return getattr(torch.ops.multiview_geom, self.name + suffix)


def differentiable(kernel: Kernel) -> Callable[..., Outputs]:
    """Make a kernel a function that torch can differentiate, map, compile and export."""

    class Step(torch.autograd.Function):
        @staticmethod
        def forward(*inputs: Given) -> Outputs:
            return kernel.compute(*inputs)

        @staticmethod
        def setup_context(ctx: Any, inputs: Inputs, output: Outputs) -> None:  # noqa: ANN401 - autograd's own type
            _save(ctx, inputs, output)
            ctx.save_for_forward(*ctx.to_save)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Inputs:  # noqa: ANN401 - autograd's own type
            inputs, outputs = _saved(ctx)
            wanted = list(ctx.needs_input_grad)
            found = kernel.pull_back(inputs, outputs, gradients, wanted)
            return tuple(
                each if needed else None for each, needed in zip(found, wanted, strict=True)
            )

        @staticmethod
        def jvp(ctx: Any, *tangents: Given) -> Outputs:  # noqa: ANN401 - autograd's own type
            inputs, outputs = _saved(ctx)
            return kernel.push_forward(inputs, outputs, tangents)

        @staticmethod
        def vmap(info: Any, in_dims: Any, *inputs: Given) -> Any:  # noqa: ANN401 - torch's own types
            size = info.batch_size
            merged = _merged(inputs, in_dims, size, kernel.shared)
            split = tuple(each.unflatten(0, (size, len(each) // size)) for each in call(*merged))
            return split, (0,) * len(split)

    # Otherwise torch reads the signature anew in every call.
    Step.forward.__signature__ = signature(Step.forward)  # type: ignore[attr-defined]

    def call(*inputs: Given) -> Outputs:
        if engines.is_traced():
            find = kernel.in_transform if engines.is_transformed() else kernel.as_operator
        else:
            find = Step.apply if engines.is_differentiated(inputs) else kernel.compute
        return find(*inputs)

    _register(kernel, Step)
    return call


def _register(kernel: Kernel, step: Any) -> None:  # noqa: ANN401 - a class made above
    """Declare the operators of a kernel and of its gradient to torch."""
    count = kernel.outputs
    inputs = [f"{kind} input_{k}" for k, kind in enumerate(kernel.inputs)]
    outputs = [f"Tensor output_{k}" for k in range(count)]
    gradients = [f"Tensor gradient_{k}" for k in range(count)]

    def pull_back(*given: Given) -> Any:  # noqa: ANN401 - one tensor or more
        before, after = len(inputs), len(inputs) + count
        upstream, wanted = given[after:-1], given[-1]
        found = kernel.pull_back(given[:before], given[before:after], upstream, wanted)
        empty = given[0].new_empty(0)
        kept = (
            each if needed and each is not None else empty
            for each, needed in zip(found, wanted, strict=True)
        )
        return _as_result(_in_own_memory(kept, given))

    def fake_pull_back(*given: Given) -> Any:  # noqa: ANN401 - one tensor or more
        *_, wanted = given
        return _as_result(
            tuple(
                given[0].new_empty(each.shape if needed and each is not None else (0,))
                for each, needed in zip(given[: len(inputs)], wanted, strict=True)
            )
        )

    def fake(*given: Given) -> Any:  # noqa: ANN401 - one tensor or more
        return _as_result(tuple(given[0].new_empty(size) for size in kernel.shapes(*given)))

    operator = torch.library.custom_op(
        f"multiview_geom::{kernel.name}",
        lambda *given: _as_result(tuple(each.contiguous() for each in kernel.compute(*given))),
        mutates_args=(),
        schema=_schema(inputs, count),
    )
    operator.register_fake(fake)
    operator.register_vmap(step.vmap)
    operator.register_autograd(step.backward, setup_context=_save)
    torch.library.custom_op(
        f"multiview_geom::{kernel.name}_backward",
        pull_back,
        mutates_args=(),
        schema=_schema([*inputs, *outputs, *gradients, "bool[] wanted"], len(inputs)),
    ).register_fake(fake_pull_back)


def _save(ctx: Any, inputs: Inputs, output: Any) -> None:  # noqa: ANN401 - autograd's own types
    """Keep inputs and outputs for the backward pass."""
    tensors = [each if isinstance(each, Tensor) else None for each in inputs]
    ctx.numbers = [None if isinstance(each, Tensor) else each for each in inputs]
    ctx.save_for_backward(*tensors, *_as_tuple(output))


def _saved(ctx: Any) -> tuple[Inputs, Outputs]:  # noqa: ANN401 - autograd's own type
    """Return the inputs and the outputs."""
    count = len(ctx.numbers)
    pairs = zip(ctx.saved_tensors[:count], ctx.numbers, strict=True)
    inputs = tuple(number if tensor is None else tensor for tensor, number in pairs)
    return inputs, ctx.saved_tensors[count:]


def _in_own_memory(tensors: Iterable[Tensor], given: Inputs) -> Outputs:
    """Return contiguous tensors that share no memory with each other or with what was given."""
    used = {each.untyped_storage().data_ptr() for each in given if isinstance(each, Tensor)}
    found = []
    for tensor in tensors:
        whole = tensor.contiguous()
        if whole.untyped_storage().data_ptr() in used:
            whole = whole.clone()
        used.add(whole.untyped_storage().data_ptr())
        found.append(whole)
    return tuple(found)


def _schema(arguments: Sequence[str], results: int) -> str:
    return f"({', '.join(arguments)}) -> ({', '.join(['Tensor'] * results)})"


def _as_tuple(output: Any) -> Outputs:  # noqa: ANN401 - operators of one output return it bare
    return (output,) if isinstance(output, Tensor) else tuple(output)


def _as_result(outputs: Outputs) -> Any:  # noqa: ANN401 - operators of one output return it bare
    return outputs[0] if len(outputs) == 1 else outputs


def _merged(
    inputs: Inputs, axes: Sequence[int | None], size: int, shared: Collection[int]
) -> Inputs:
    """Make a mapped axis more items: (size, items, ...) becomes (size * items, ...)."""
    whole = [
        each if axis is None else each.movedim(axis, 0)
        for each, axis in zip(inputs, axes, strict=True)
    ]
    items = next(
        len(each) if axis is None else each.shape[1]
        for k, (each, axis) in enumerate(zip(whole, axes, strict=True))
        if isinstance(each, Tensor) and k not in shared
    )

    def merge(k: int, each: Given) -> Given:
        if not isinstance(each, Tensor) or (axes[k] is None and k in shared and len(each) == 1):
            return each
        rest = each.shape[1:] if axes[k] is None else each.shape[2:]
        return each.expand(size, items, *rest).flatten(0, 1)

    return tuple(merge(k, each) for k, each in enumerate(whole))
