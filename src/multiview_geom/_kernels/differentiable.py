"""Kernels as differentiable steps: many items along the first axis, none of which sees another.

The value and the gradient come from the fastest engine at hand; derivatives of the gradient,
forward derivatives and what `torch.func` asks for inside a compiler come from the reference.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from multiview_geom._kernels import engines

Given: TypeAlias = Any
"""A tensor, or None where it is absent."""
Inputs: TypeAlias = tuple[Given, ...]
Outputs: TypeAlias = tuple[Tensor, ...]
PullBack: TypeAlias = Callable[[Inputs, Outputs, Outputs], Inputs]


@dataclass(frozen=True)
class Kernel:
    """What a kernel is made of. All functions take tensors by position, an absent one as None."""

    name: str
    inputs: Sequence[str]
    """What torch calls the types of the inputs: `Tensor`, or `Tensor?` for one that may be None."""
    outputs: int
    """How many tensors it returns."""
    reference: Callable[..., Outputs]
    """Finds the outputs in tensor operations, which have first and second derivatives."""
    shapes: Callable[..., Sequence[Sequence[int]]]
    """Returns the shapes of the outputs."""
    compiled: Mapping[str, tuple[Callable[..., Outputs], PullBack]]
    """By the name of the engine: what finds the outputs; and what takes inputs, outputs and
    gradients in these, and returns the gradients in the inputs."""

    def compute(self, *inputs: Given) -> Outputs:
        """Find the outputs by the engine for the inputs."""
        engine = engines.choose_engine(inputs[0])
        if engine == "traced":
            return self.as_operator(*inputs)
        if engine == "reference":
            return self.reference(*inputs)
        return self.compiled[engine][0](*inputs)

    def pull_back(self, inputs: Inputs, outputs: Outputs, gradients: Outputs) -> Inputs:
        """Return the gradients in the inputs, with a derivative if one is recorded."""
        engine = engines.choose_engine(outputs[0])
        if engines.is_recording() or engine == "reference":
            return self.pull_back_by_reference(inputs, gradients)
        if engine == "traced":
            found = self._operator("_backward")(*inputs, *outputs, *gradients)
            return _as_tuple(found)
        return self.compiled[engine][1](inputs, outputs, gradients)

    def pull_back_by_reference(self, inputs: Inputs, gradients: Outputs) -> Inputs:
        """Return the gradients in the inputs by tensor operations."""
        solve, present = _without_absent(self.reference, inputs)
        found = iter(torch.func.vjp(solve, *present)[1](tuple(gradients)))
        return tuple(None if each is None else next(found) for each in inputs)

    def push_forward(self, inputs: Inputs, tangents: Inputs) -> Outputs:
        """Return how the outputs move when the inputs do.

        The pull-back is linear in the gradient, and its own pull-back is this. `torch.func.jvp`
        would not work inside the forward derivative of autograd.
        """
        solve, present = _without_absent(self.reference, inputs)
        outputs, pull_back = torch.func.vjp(solve, *present)[:2]
        moved = (
            torch.zeros_like(each) if tangent is None else tangent
            for each, tangent in zip(inputs, tangents, strict=True)
            if each is not None
        )
        zeros = tuple(torch.zeros_like(output) for output in outputs)
        (found,) = torch.func.vjp(pull_back, zeros)[1](tuple(moved))
        return tuple(found)

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
            ctx.save_for_backward(*inputs, *_as_tuple(output))
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx: Any, *gradients: Tensor) -> Inputs:  # noqa: ANN401 - autograd's own type
            saved = ctx.saved_tensors
            inputs, outputs = saved[: len(kernel.inputs)], saved[len(kernel.inputs) :]
            found = kernel.pull_back(inputs, outputs, gradients)
            wanted = zip(found, ctx.needs_input_grad, strict=True)
            return tuple(each if needed else None for each, needed in wanted)

        @staticmethod
        def jvp(ctx: Any, *tangents: Given) -> Outputs:  # noqa: ANN401 - autograd's own type
            return kernel.push_forward(ctx.saved_tensors[: len(kernel.inputs)], tangents)

        @staticmethod
        def vmap(info: Any, in_dims: Any, *inputs: Given) -> Any:  # noqa: ANN401 - torch's own types
            merged = (
                _merged(each, axis, info.batch_size)
                for each, axis in zip(inputs, in_dims, strict=True)
            )
            size = info.batch_size
            found = call(*merged)
            split = tuple(each.unflatten(0, (size, len(each) // size)) for each in found)
            return split, (0,) * len(split)

    def call(*inputs: Given) -> Outputs:
        if not engines.is_traced():
            return Step.apply(*inputs)  # type: ignore[no-any-return, no-untyped-call]
        # The transforms of torch.func, inside a compiler, see tensor operations only.
        find = kernel.reference if engines.is_transformed() else kernel.as_operator
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
        found = kernel.pull_back(given[:before], given[before:after], given[after:])
        filled = (given[0].new_empty(0) if each is None else each.clone() for each in found)
        return _as_result(tuple(filled))

    def fake_pull_back(*given: Given) -> Any:  # noqa: ANN401 - one tensor or more
        sizes = ((0,) if each is None else each.shape for each in given[: len(inputs)])
        return _as_result(tuple(given[0].new_empty(size) for size in sizes))

    def fake(*given: Given) -> Any:  # noqa: ANN401 - one tensor or more
        return _as_result(tuple(given[0].new_empty(size) for size in kernel.shapes(*given)))

    operator = torch.library.custom_op(
        f"multiview_geom::{kernel.name}",
        lambda *given: _as_result(kernel.compute(*given)),
        mutates_args=(),
        schema=_schema(inputs, count),
    )
    operator.register_fake(fake)
    operator.register_vmap(step.vmap)
    operator.register_autograd(
        step.backward,
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(
            *inputs, *_as_tuple(output)
        ),
    )
    torch.library.custom_op(
        f"multiview_geom::{kernel.name}_backward",
        pull_back,
        mutates_args=(),
        schema=_schema([*inputs, *outputs, *gradients], len(inputs)),
    ).register_fake(fake_pull_back)


def _schema(arguments: Sequence[str], results: int) -> str:
    return f"({', '.join(arguments)}) -> ({', '.join(['Tensor'] * results)})"


def _as_tuple(output: Any) -> Outputs:  # noqa: ANN401 - operators of one output return it bare
    return (output,) if isinstance(output, Tensor) else tuple(output)


def _as_result(outputs: Outputs) -> Any:  # noqa: ANN401 - operators of one output return it bare
    return outputs[0] if len(outputs) == 1 else outputs


def _without_absent(
    function: Callable[..., Outputs], inputs: Inputs
) -> tuple[Callable[..., Outputs], list[Tensor]]:
    """Return a function of the inputs that are there, and these."""

    def solve(*present: Tensor) -> Outputs:
        left = iter(present)
        return tuple(function(*(None if each is None else next(left) for each in inputs)))

    return solve, [each for each in inputs if each is not None]


def _merged(tensor: Tensor | None, axis: int | None, size: int) -> Tensor | None:
    """Make a mapped axis more items."""
    if tensor is None:
        return None
    whole = tensor.expand(size, *tensor.shape) if axis is None else tensor.movedim(axis, 0)
    return whole.flatten(0, 1)
