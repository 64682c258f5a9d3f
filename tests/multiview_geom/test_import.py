"""Laws of the import: it loads modules and changes nothing else."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.processes
PROGRAM = """
import json, logging, os, random, sys, warnings
import jaxtyping, numpy, torch
from torch.utils._python_dispatch import TorchDispatchMode

operations = []

class Recorded(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        operations.append(str(function))
        return function(*args, **(kwargs or {}))

def state():
    return {
        "dtype": str(torch.get_default_dtype()),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "gradients": torch.is_grad_enabled(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "precision": torch.get_float32_matmul_precision(),
        "cudnn": (torch.backends.cudnn.benchmark, torch.backends.cudnn.allow_tf32),
        "safe globals": len(torch.serialization.get_safe_globals()),
        "torch generator": torch.get_rng_state().tolist(),
        "python generator": random.getstate(),
        "numpy generator": str(numpy.random.get_state()),
        "warnings": str(warnings.filters),
        "logging": (logging.root.level, len(logging.root.handlers)),
        "environment": dict(os.environ),
        "path": sys.path[:],
        "excepthook": str(sys.excepthook),
    }

def effects(statement):
    before, loaded = state(), set(sys.modules)
    operations.clear()
    with Recorded():
        exec(statement)
    after = state()
    packages = {name.split(".")[0] for name in set(sys.modules) - loaded} - sys.stdlib_module_names
    return {
        "packages": sorted(packages - {name.split(".")[0] for name in loaded}),
        "changed": [name for name in before if before[name] != after[name]],
        "operations": operations[:],
    }

print(json.dumps([effects(statement) for statement in sys.argv[1:]]))
"""


@pytest.fixture(scope="module")
def effects() -> list[dict[str, list[str]]]:
    """Run all in a fresh interpreter, one after the other; return what each did."""
    command = [sys.executable, "-c", PROGRAM, "import multiview_geom", *NOTICED]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: list[dict[str, list[str]]] = json.loads(done.stdout)
    return found


def test_the_geometry_loads_torch_numpy_and_jaxtyping_alone_and_changes_nothing(
    effects: list[dict[str, list[str]]],
) -> None:
    assert effects[0] == {"packages": ["multiview_geom"], "changed": [], "operations": []}


NOTICED = {
    "import scipy": ("packages", "scipy"),
    "torch.set_num_threads(torch.get_num_threads() + 1)": ("changed", "threads"),
    "torch.set_default_dtype(torch.float64)": ("changed", "dtype"),
    "torch.serialization.add_safe_globals([dict])": ("changed", "safe globals"),
    "torch.rand(1)": ("changed", "torch generator"),
    "torch.empty(2**25, dtype=torch.uint8)": ("operations", "aten.empty.memory_format"),
}


def test_an_import_that_did_more_would_be_noticed(effects: list[dict[str, list[str]]]) -> None:
    for found, (effect, word) in zip(effects[1:], NOTICED.values(), strict=True):
        assert word in found[effect]
