"""An instruction of the processor that Numba has no name for."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic


@intrinsic
def prefetch(_: Any, numbers: Any, place: Any) -> Any:  # noqa: ANN401 - Numba's own types
    """Ask for a number of a flat array that is needed soon; the place may lie beyond its end."""

    def write(context: Any, builder: Any, signature: Any, given: Any) -> None:  # noqa: ANN401 - as above
        array = context.make_array(signature.args[0])(context, builder, given[0])
        at, number = builder.gep(array.data, [given[1]]), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [at.type, number, number, number])
        ask = builder.module.declare_intrinsic("llvm.prefetch", [at.type], kind)
        # To read data, into the second level of the cache: the first one holds the block.
        builder.call(ask, [at, number(0), number(2), number(1)])

    return types.void(numbers, types.intp), write
