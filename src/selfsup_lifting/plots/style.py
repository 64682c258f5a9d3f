"""How pictures look, whatever a user's own settings of matplotlib say."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def plain_style() -> Iterator[None]:
    """Leave out a user's `matplotlibrc` in the block: its fonts and LaTeX may be absent."""
    import matplotlib as mpl

    with mpl.rc_context():
        mpl.rcdefaults()
        yield
