"""Shorten the first training on a computer, which compiles the loops of `multiview_geom`."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from multiview_geom._kernels.engines import is_first_use

ALIGN = """
import torch
from multiview_geom import align_similarity
align_similarity(torch.eye(4, 3), torch.eye(4, 3))
"""


@contextmanager
def alignment_compiled_meanwhile() -> Iterator[None]:
    """Compile the alignment of an evaluation in a second process, while this one does other things.

    Numba compiles one loop after another, for ten seconds and more each; the result of a process is
    kept for the others. Does nothing if loops were compiled before. If the process fails, the
    evaluation compiles the alignment itself.
    """
    if not (sys.executable and is_first_use()):  # an embedded Python may not know where it is
        yield
        return
    command, silent = [sys.executable, "-P", "-c", ALIGN], subprocess.DEVNULL
    with subprocess.Popen(command, stdin=silent, stdout=silent, stderr=silent) as process:
        try:
            yield
        except BaseException:
            process.kill()
            raise
