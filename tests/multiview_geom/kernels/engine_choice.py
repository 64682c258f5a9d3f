"""Which engines there are to compare, and how a test chooses one."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import pytest

from multiview_geom._kernels import engines

ENGINES = ("numba", *(["triton"] if find_spec("triton") else []))


every_engine = pytest.mark.parametrize("engine", ENGINES)
# NumPy, which interprets the kernels of Triton, warns where lanes that are not used divide by zero.
interpreted = pytest.mark.filterwarnings("ignore::RuntimeWarning")


@contextmanager
def computed_by(engine: str) -> Iterator[None]:
    """Choose an engine for the functions that are called meanwhile."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "choose_engine", lambda _: engine)
        yield
