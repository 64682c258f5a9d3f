"""Imports flow one way."""

import ast
import inspect
import subprocess
import sys
from functools import cache

import pytest
from importlinter.cli import lint_imports

import selfsup_lifting

pytestmark = pytest.mark.processes
HEAVY = ("kornia", "scipy", "numpy", "h5py", "matplotlib", "cv2", "tyro", "rich", "tensorboard")


def test_every_contract_of_the_architecture_is_kept() -> None:
    assert lint_imports() == 0


TRAINING = "import selfsup_lifting as s; s.train, s.evaluate_lifter, s.lift"


@cache
def loaded_after(statement: str) -> frozenset[str]:
    """Return the libraries that a fresh interpreter has loaded after a statement."""
    program = (
        f"import sys, contextlib, io\nwith contextlib.redirect_stdout(io.StringIO()):\n"
        f"    {statement}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return frozenset(done.stdout.split())


def test_the_trainer_loads_nothing_heavy_until_a_name_is_used() -> None:
    assert loaded_after("import selfsup_lifting") & {*HEAVY, "torch"} == set()
    assert "torch" in loaded_after(TRAINING)


def test_training_loads_neither_command_line_nor_plots() -> None:
    assert loaded_after(TRAINING) & {"tyro", "rich", "tensorboard", "matplotlib"} == set()


def test_the_help_loads_tyro_alone() -> None:
    statement = "from selfsup_lifting.cli.parsing import parse_options\n"
    statement += "    try: parse_options(['--help'])\n    except SystemExit: pass"
    assert loaded_after(statement) & {*HEAVY, "torch"} == {"tyro"}


def test_the_package_runs_as_a_module() -> None:
    program = [sys.executable, "-m", "selfsup_lifting", "--help"]
    assert (
        "triangulate" in subprocess.run(program, check=True, capture_output=True, text=True).stdout
    )


def test_every_public_name_of_the_trainer_is_there() -> None:
    listed = ast.parse(inspect.getsource(selfsup_lifting))
    names = {
        alias.asname
        for block in listed.body
        if isinstance(block, ast.If)
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert names == set(selfsup_lifting.__all__)
    assert all(getattr(selfsup_lifting, name) is not None for name in names)
