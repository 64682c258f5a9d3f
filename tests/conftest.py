"""Hypothesis profiles, chosen by HYPOTHESIS_PROFILE: dev (default), ci, nightly, shapes."""

import os
from pathlib import Path

import pytest
import torch
from hypothesis import settings

if not torch.cuda.is_available():
    # Before anything imports Triton: its kernels run on the processor then, slowly.
    os.environ.setdefault("TRITON_INTERPRET", "1")

settings.register_profile("dev", max_examples=25, deadline=None)
settings.register_profile("ci", settings.get_profile("ci"), max_examples=15, deadline=None)
settings.register_profile("nightly", max_examples=2000, deadline=None, print_blob=True)
# Few examples: the shape-checked run asks what every annotation says, other versions and mutants
# are asked by many tests.
settings.register_profile("shapes", max_examples=3, deadline=None, derandomize=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"
# The fixtures of the folders in it.
RECORDED = {"capture_folder", "mocap_folder", "webcam_folder", "operating_room_folder"}

ENGINES = Path(__file__).parent / "multiview_geom" / "kernels"


@pytest.hookimpl(trylast=True)  # after -m and -k
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """In the shape-checked run, leave out what calls the same functions once more.

    These are long recordings, all parameters of a test but the first ones, and the tests of the
    engines, which compile functions without their annotations. A case of the contract is another
    function, so each is kept.
    """
    if not config.getoption("--jaxtyping-packages"):
        return
    first: dict[tuple[object, ...], pytest.Item] = {}
    for item in items:
        if isinstance(item, pytest.Function) and RECORDED.isdisjoint(item.fixturenames):
            case = item.callspec.params.get("case") if hasattr(item, "callspec") else None
            if ENGINES not in item.path.parents:
                first.setdefault((item.path, item.originalname, case), item)
    kept = set(first.values())
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = [item for item in items if item in kept]


@pytest.fixture
def capture_folder() -> Path:
    """Return the real four-camera capture, or skip where it is not at hand."""
    return _shared("capture-balancing")


@pytest.fixture
def mocap_folder() -> Path:
    """Return the motion-capture clips, or skip where they are not at hand."""
    return _shared("mocap-bvh")


@pytest.fixture
def webcam_folder() -> Path:
    """Return the recordings of four webcams, or skip where they are not at hand."""
    return _shared("webcam-studio")


@pytest.fixture
def operating_room_folder() -> Path:
    """Return the triplets of an operating room, or skip where they are not at hand."""
    return _shared("operating-room")


def _shared(name: str) -> Path:
    folder = SHARED_DATA / name
    if not folder.is_dir():
        pytest.skip(f"{name} is not beside this checkout; its licence keeps it out of the project")
    return folder
