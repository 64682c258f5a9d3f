"""Which engines there are to compare, and how a test chooses one."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import TypeVar

import pytest
from hypothesis import settings

from multiview_geom._kernels import engines

Test = TypeVar("Test", bound=Callable[..., None])

ENGINES = ("numba", *(["triton"] if find_spec("triton") else []))


every_engine = pytest.mark.parametrize("engine", ENGINES)


def interpreted(test: Test) -> Test:
    """Draw fewer examples than usual: the interpreter of Triton takes a second for one.

    NumPy, which it uses, warns where lanes that are not used divide by zero.
    """
    if getattr(test, "is_hypothesis_test", False):
        test = settings(max_examples=max(3, settings.default.max_examples // 8))(test)
    return pytest.mark.filterwarnings("ignore::RuntimeWarning")(test)


@cache
def prepare_the_interpreter_once() -> None:
    """Let Triton's interpreter prepare its language for each kernel, not for each call in it.

    It would look at all names of the language whenever a kernel calls a function: most of its time.
    """
    from triton.runtime.interpreter import InterpretedFunction

    as_triton_does = InterpretedFunction.__call__

    def call(function: InterpretedFunction, *arguments: object, **named: object) -> object:
        if function.fn.__module__.startswith(engines.__package__):
            return function.rewrite()(*arguments, **named)
        return as_triton_does(function, *arguments, **named)

    InterpretedFunction.__call__ = call


@contextmanager
def computed_by(engine: str) -> Iterator[None]:
    """Choose an engine for the functions that are called meanwhile."""
    if engine == "triton":
        prepare_the_interpreter_once()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "choose_engine", lambda _: engine)
        yield
