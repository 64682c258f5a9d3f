"""Which engine computes: the only place that asks for device, compiler or gradient mode."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from hashlib import sha256
from importlib import import_module
from importlib.util import find_spec
from inspect import unwrap
from math import sqrt
from pathlib import Path
from stat import S_IWOTH
from types import FunctionType, ModuleType
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd import forward_ad

_log = logging.getLogger(__name__)

Engine = Literal["traced", "numba", "triton", "reference"]

# Points for which one more thread pays.
POINTS_PER_THREAD = 4_096

# Ranges per thread. A thread whose core does other work takes fewer of them; torch's own threads
# keep their cores busy for milliseconds after each of its operations.
PIECES_PER_THREAD = 8

# `prefetch` for compiled loops; in Python it does nothing.
PREFETCH = "multiview_geom._kernels.numba_prefetch"

# What the algebra is written in, for Triton.
PRIMITIVES = "multiview_geom._kernels.triton_primitives"

# Products and sums may be fused, and zero has no sign; NaN and infinity keep their meaning.
FAST_MATH = {"contract", "nsz", "arcp"}


def choose_engine(tensor: Tensor) -> Engine:
    """Choose what computes on a tensor, the first input of a kernel.

    Subclasses of tensors, and tensors without memory, see one operator, as compilers do.
    """
    if is_traced() or type(tensor) not in (Tensor, torch.nn.Parameter):
        return "traced"
    if tensor.device.type == "cpu" and _has("numba") and not _is_compiling_switched_off():
        return "numba"
    if tensor.device.type == "cuda" and _has("triton"):
        return "triton"
    return "traced" if tensor.device.type == "meta" else "reference"


def is_traced() -> bool:
    """Tell whether a compiler traces."""
    return torch.compiler.is_compiling()


def is_transformed() -> bool:
    """Tell whether a transform of `torch.func` is under way."""
    return bool(torch._C._are_functorch_transforms_active())  # noqa: SLF001 - torch has no public name


def is_differentiated(inputs: Iterable[object]) -> bool:
    """Tell whether a derivative in the inputs may be wanted, or a transform maps them."""
    if is_transformed() or forward_ad._current_level >= 0:  # noqa: SLF001 - torch has no public name
        return True
    wanted = any(isinstance(each, Tensor) and each.requires_grad for each in inputs)
    return wanted and is_recording()


def is_recording() -> bool:
    """Tell whether autograd records what is done now: a derivative of a derivative is wanted."""
    return torch.is_grad_enabled()


def wide_dtype(tensor: Tensor) -> torch.dtype:
    """Return the most precise dtype of a tensor's device."""
    return torch.float32 if tensor.device.type == "mps" else torch.float64


@cache
def _has(package: str) -> bool:
    return find_spec(package) is not None


def _is_compiling_switched_off() -> bool:
    """Tell whether Numba is to leave loops to Python, which divides by zero with an error."""
    return os.environ.get("NUMBA_DISABLE_JIT", "0") not in {"", "0"}


@cache
def numba_functions(module: str) -> dict[str, Any]:
    """Compile a module of loops, and the algebra that it is written in, by Numba.

    Each function is compiled when it is first called with a dtype. The result is kept in the
    user's cache folder; without one, every process compiles anew.
    """
    import numba
    import numpy as np

    names = {**_names_of(module), "sqrt": sqrt, "where": unwrap(_where)}
    names["prefetch"] = import_module(PREFETCH).prefetch
    with _cache_folder(numba) as keep:
        for name, item in list(names.items()):
            if type(item) is int:
                # Numba would compile each function anew for each number that it is called with.
                names[name] = np.int64(item)
            elif _is_own(item):
                copy = _copy(item, names)
                # Arithmetic becomes part of the loop around it, which must become vectors; what is
                # in files `cpu*.py` stays apart. Python calls only the module's own functions.
                inner = item.__module__ != module
                options: dict[str, Any] = {"no_cfunc_wrapper": True, "no_cpython_wrapper": inner}
                arithmetic = not item.__module__.rpartition(".")[2].startswith("cpu")
                names[name] = numba.njit(
                    nogil=True,
                    fastmath=FAST_MATH,
                    error_model="numpy",
                    cache=keep,
                    forceinline=arithmetic,
                    **options,
                )(copy)
    return names


@cache
def triton_functions(module: str) -> dict[str, Any]:
    """Compile a module of kernels, and the algebra that it is written in, by Triton.

    Numbers become constants, and of the annotations only those of constants are kept: Triton
    accepts no other names.
    """
    import triton
    from triton import language

    names = _names_of(module) | _names_of(PRIMITIVES)
    for name, item in list(names.items()):
        if _is_own(item):
            copy, given = _copy(item, names), unwrap(item).__annotations__
            kept = {key: kind for key, kind in given.items() if kind is language.constexpr}
            copy.__annotations__ = kept
            names[name] = triton.jit(copy)
        elif isinstance(item, int | float):
            names[name] = triton_constant(item)
        elif item is not language and not name.startswith("__"):
            names[name] = None
    return names


@lru_cache(maxsize=None, typed=True)  # 1 and 1.0 are two constants
def triton_constant(number: float | int) -> Any:  # noqa: ANN401 - Triton's own type
    """Return a number that a kernel is compiled for, also where it stands in a tuple."""
    constant = import_module(PRIMITIVES).Constant
    return constant(number)


def launch(
    module: str,
    kernel: str,
    count: int,
    *arguments: Any,  # noqa: ANN401 - tensors and numbers
    registers: int | None = None,
) -> None:
    """Run a kernel of Triton on so many items; see `launch_on_grid`."""
    lanes = triton_functions(module)["LANES"].value
    grid = (-(-count // lanes),)
    launch_on_grid(module, kernel, grid, *arguments, registers=registers)


def launch_on_grid(
    module: str,
    kernel: str,
    grid: tuple[int, ...],
    *arguments: Any,  # noqa: ANN401 - tensors and numbers
    registers: int | None = None,
) -> None:
    """Run programs of a kernel of Triton on the device of its first tensor.

    Args:
        module: The module of the kernel.
        kernel: Its name.
        grid: How many programs there are along each axis.
        arguments: Tensors, numbers, and tuples of these; a tensor first.
        registers: How many registers a thread may have.
    """
    first = arguments[0]
    while isinstance(first, tuple):
        first = first[0]
    if all(grid):
        compiled = triton_functions(module)[kernel]
        with torch.cuda.device_of(first):
            # Fused products and sums are no longer the default from Triton 3.10 on.
            compiled[grid](*arguments, enable_fp_fusion=True, maxnreg=registers)


def _names_of(module: str) -> dict[str, Any]:
    """Return the names of a module of loops, and of the modules that its functions come from.

    All are compiled in one space of names, where those of the module itself come first: no function
    from another module may use a name that means something else here, as a test makes sure.
    """
    loops = vars(import_module(module))
    used = {item.__module__ for item in loops.values() if _is_own(item)}
    names: dict[str, Any] = {}
    for source in sorted(used - {module}):
        names |= _names_of(source)
    return names | loops


def _is_own(item: object) -> bool:
    """Tell whether something is a function of the kernels."""
    return isinstance(item, FunctionType) and item.__module__.startswith(__package__)


def _copy(function: FunctionType, names: dict[str, Any]) -> FunctionType:
    """Return a function, without the shape checks of a test run, that uses other names."""
    function = unwrap(function)
    copy = FunctionType(function.__code__, names, function.__name__)
    copy.__module__, copy.__qualname__ = function.__module__, function.__qualname__
    return copy


def _where(condition: Any, chosen: Any, other: Any) -> Any:  # noqa: ANN401 - any numbers
    return chosen if condition else other


@contextmanager
def _cache_folder(numba: ModuleType) -> Iterator[bool]:
    """Point Numba to a folder of this version of the sources, while functions are declared.

    Numba looks at the file of a function only, not at those of the functions that it calls.
    """
    folder, before = _loops_folder(), numba.config.CACHE_DIR
    obstacle = _obstacle_to_keeping(folder)
    if obstacle:
        _warn_of_compiling(folder, obstacle)
    else:
        numba.config.CACHE_DIR = str(folder)
    try:
        yield not obstacle
    finally:
        numba.config.CACHE_DIR = before


def _loops_folder() -> Path:
    """Return the folder of what Numba made of these sources."""
    sources = sorted(Path(__file__).parent.rglob("*.py"))
    text = b"".join(source.read_bytes() for source in sources)
    caches = Path(os.environ.get("XDG_CACHE_HOME", "") or _home() / ".cache")
    return caches / "multiview_geom" / sha256(text).hexdigest()[:16]


def _obstacle_to_keeping(folder: Path) -> str:
    """Create a folder; return why loops cannot be kept in it, or nothing if they can.

    What is kept in it is executed, so nobody else may write to it.
    """
    with suppress(OSError, RuntimeError):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        return "cannot be written"
    if not hasattr(os, "getuid"):  # as on Windows
        return ""
    found = folder.stat()
    is_own = found.st_uid in {0, os.getuid()} and not found.st_mode & S_IWOTH
    return "" if is_own else "belongs to another user, or can be written by all"


def is_first_use() -> bool:
    """Tell whether loops will be compiled and kept, and none has been so far."""
    if not _has("numba") or _is_compiling_switched_off():
        return False
    folder = _loops_folder()
    return not _obstacle_to_keeping(folder) and not any(folder.iterdir())


def _home() -> Path:
    """Return the user's folder; a user without one, as in a container, can keep nothing."""
    try:
        return Path.home()
    except RuntimeError:
        return Path(os.devnull)


@cache
def _warn_of_compiling(folder: Path, obstacle: str) -> None:
    """Say once why this process, and every other one, is slow."""
    _log.warning(
        "%s %s: loops are compiled in every process, which takes up to a minute; set "
        "XDG_CACHE_HOME to a folder of your own",
        folder,
        obstacle,
    )


def flat(tensor: Tensor) -> tuple[Any, tuple[int, ...]]:
    """Return a tensor's memory as one flat array without a copy, and its strides."""
    tensor = tensor.detach().resolve_neg()
    sizes, strides = tensor.shape, tensor.stride()
    span = 1 + sum((size - 1) * step for size, step in zip(sizes, strides, strict=True))
    return tensor.as_strided((span if tensor.numel() else 0,), (1,)).numpy(), strides


def flat_arrays(*tensors: Tensor) -> tuple[Any, ...]:
    """Return tensors as flat arrays, copied only where their numbers lie apart.

    NumPy copies, because after an operation of torch its threads keep the cores busy.
    """
    return tuple(each.detach().resolve_neg().numpy().reshape(-1) for each in tensors)


def split(work: Callable[[int, int], object], points: int, *, step: int = 1) -> None:
    """Do work on ranges of points, in as many threads as torch has.

    Args:
        work: Takes the first point of a range and the one after its last.
        points: How many there are.
        step: Ranges end at multiples of this.
    """
    if points == 0:
        return
    threads = min(torch.get_num_threads(), 1 + points // POINTS_PER_THREAD)
    pieces = PIECES_PER_THREAD * threads if threads > 1 else 1
    size = -(-points // (pieces * step)) * step
    # The one iterator that all threads share: each takes the next range when it has time.
    ranges = iter([(first, min(first + size, points)) for first in range(0, points, size)])

    def take() -> None:
        for first, last in ranges:
            work(first, last)

    others = [_pool(os.getpid()).submit(take) for _ in range(1, threads)]
    try:
        take()
    finally:
        started = [other for other in others if not other.cancel()]
        wait(started)
    for other in started:
        other.result()


@cache
def _pool(process: int) -> ThreadPoolExecutor:  # threads do not survive a fork
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="multiview_geom")
