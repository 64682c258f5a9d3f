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

before, loaded = state(), set(sys.modules)
with Recorded():
    {statement}
after = state()
packages = {name.split(".")[0] for name in set(sys.modules) - loaded} - sys.stdlib_module_names
print(json.dumps({
    "packages": sorted(packages - {name.split(".")[0] for name in loaded}),
    "changed": [name for name in before if before[name] != after[name]],
    "operations": operations,
}))
"""


def effects_of(statement: str) -> dict[str, list[str]]:
    """Run a statement in a fresh interpreter; return what it loaded, changed and computed."""
    program = PROGRAM.replace("{statement}", statement)
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    effects: dict[str, list[str]] = json.loads(done.stdout)
    return effects


def test_the_geometry_loads_torch_numpy_and_jaxtyping_alone_and_changes_nothing() -> None:
    effects = effects_of("import multiview_geom")
    assert effects == {"packages": ["multiview_geom"], "changed": [], "operations": []}


@pytest.mark.parametrize(
    ("statement", "effect", "found"),
    [
        ("import scipy", "packages", "scipy"),
        ("torch.set_num_threads(torch.get_num_threads() + 1)", "changed", "threads"),
        ("torch.set_default_dtype(torch.float64)", "changed", "dtype"),
        ("torch.serialization.add_safe_globals([dict])", "changed", "safe globals"),
        ("torch.rand(1)", "changed", "torch generator"),
        ("torch.empty(2**25, dtype=torch.uint8)", "operations", "aten.empty.memory_format"),
    ],
)
def test_an_import_that_did_more_would_be_noticed(statement: str, effect: str, found: str) -> None:
    assert found in effects_of(statement)[effect]
