"""Imports flow one way."""

import subprocess
import sys

from importlinter.cli import lint_imports

HEAVY = ("kornia", "scipy", "numpy", "h5py", "matplotlib", "cv2")


def test_every_contract_of_the_architecture_is_kept() -> None:
    assert lint_imports() == 0


def loaded_by(statement: str) -> set[str]:
    """Return which heavy libraries a fresh interpreter holds after a statement."""
    # Torch itself imports NumPy where it is installed: what counts is what we add.
    program = (
        f"import sys, torch, einops, jaxtyping; before = set(sys.modules); {statement}; "
        f"print(*({{*{HEAVY!r}}} & ({{name.split('.')[0] for name in sys.modules}} "
        "- {name.split('.')[0] for name in before})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def test_the_geometry_costs_no_more_than_torch() -> None:
    assert loaded_by("import multiview_geom") == set()


def test_a_heavy_import_would_be_noticed() -> None:
    assert "scipy" in loaded_by("import scipy")
