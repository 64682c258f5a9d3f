"""Does the wheel pass tests with each Python, and with the oldest and the newest dependencies?

For each combination uv makes an environment in a temporary folder, which is deleted afterwards. The
wheel is installed there, and tests of every part that depends on other libraries run on it, with
few random examples. What cannot be installed or has no interpreter is a row with the reason.

    python benchmarks/compatibility.py
"""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

from measure import ROOT, Suite, answer

# Versions of dependencies: the lowest that pyproject.toml allows, those of constraints.txt, or what
# the package index offers.
KINDS = {
    "oldest": ("--resolution", "lowest-direct"),
    "pinned": ("--constraint", str(ROOT / "constraints.txt")),
    "newest": (),
}
COMBINATIONS = (
    ("3.11", "oldest"),
    ("3.11", "pinned"),
    ("3.12", "pinned"),
    ("3.13", "newest"),
    ("3.14", "newest"),
)
SHOWN = ("torch", "numpy", "numba", "kornia", "scipy")
# Tools of the tests: their versions are not under test.
TOOLS = ("pytest>=9", "pytest-xdist>=3.8", "hypothesis>=6.150", "beartype>=0.22", "sybil>=10")
TOOLS += ("opencv-python-headless>=4.10", "roma>=1.5")
TESTS = (
    "tests/multiview_geom/test_linalg.py",
    "tests/multiview_geom/test_transforms.py",
    "tests/multiview_geom/test_five_point.py::test_a_batch_is_a_loop",
    "tests/multiview_geom/camera_files/test_camera_files.py",
    "tests/selfsup_lifting/test_recording.py",
    "tests/selfsup_lifting/training/test_losses.py",
    "tests/selfsup_lifting/training/test_privacy.py",
)
# The wheel is tested, not the code of the checkout.
LEFT_OUT = shutil.ignore_patterns("src", "build", "dist", ".git", "runs", "mutants", "__pycache__")
LONGEST = 1800
# Old and new libraries warn of each other's names: no error of this project.
OPTIONS = ("-n0", "-q", "-m", "not slow", "-W", "default", "--continue-on-collection-errors")


@dataclass(frozen=True)
class Row:
    """One combination, the versions in its environment, and how the tests ended."""

    python: str
    dependencies: str
    versions: dict[str, str]
    passed: int = 0
    skipped: int = 0
    failed: tuple[str, ...] = ()
    reason: str = ""


def rows(_: Suite) -> Iterator[Row]:
    """Test each combination in an environment of its own."""
    if shutil.which("uv") is None:
        raise SystemExit("this benchmark needs the command uv: pip install uv")
    with tempfile.TemporaryDirectory() as folder:
        _run("uv", "build", "--quiet", "--wheel", "--out-dir", folder, str(ROOT))
        (wheel,) = Path(folder).glob("*.whl")
        for python, kind in COMBINATIONS:
            with tempfile.TemporaryDirectory() as home:
                yield _row(python, kind, wheel, Path(home))


def _row(python: str, kind: str, wheel: Path, home: Path) -> Row:
    interpreter = home / "venv" / "bin" / "python"
    install = ("uv", "pip", "install", "--quiet", "--python", str(interpreter))
    try:
        wanted = _interpreter(python)
        _run("uv", "venv", "--quiet", "--no-python-downloads", "--python", wanted, home / "venv")
        _run(*install, *KINDS[kind], "--requirements", ROOT / "pyproject.toml", wheel)
        # What is installed stays as it is.
        (home / "installed.txt").write_text(_run("uv", "pip", "freeze", "--python", interpreter))
        _run(*install, "--constraint", home / "installed.txt", wheel, *TOOLS)
    except subprocess.CalledProcessError as error:
        return Row(python, kind, {}, reason=_first_line(error.stderr))
    listed = (home / "installed.txt").read_text()
    versions = dict(re.findall(r"^([\w-]+)==(\S+)$", listed, re.MULTILINE))
    full = _run(interpreter, "-c", "import platform; print(platform.python_version())").strip()
    shown = {name: versions[name] for name in SHOWN if name in versions}
    return Row(full, kind, shown, *_tested(interpreter, home))


def _interpreter(python: str) -> str | Path:
    """Return pyenv's newest interpreter of a version, or else the version, for uv to find one.

    pyenv's command `python3.12` works only where a version is chosen for the folder.
    """
    home = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
    found = home.glob(f"versions/{python}.*/bin/python")
    return max(found, key=lambda path: int(path.parts[-3].split(".")[2]), default=python)


def _run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def _tested(interpreter: Path, home: Path) -> tuple[int, int, tuple[str, ...], str]:
    """Run the tests on the installed wheel, in a copy of the checkout without its code."""
    copy, report = home / "checkout", home / "report.xml"
    shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
    surroundings = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    surroundings |= {"HYPOTHESIS_PROFILE": "shapes", "OMP_NUM_THREADS": "1"}
    command = [interpreter, "-m", "pytest", *OPTIONS, f"--junitxml={report}"]
    try:
        ran = subprocess.run(
            [*command, *TESTS],
            cwd=copy, env=surroundings, timeout=LONGEST,
            check=False, capture_output=True, text=True,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return 0, 0, (), f"the tests took more than {LONGEST} s"
    if not report.exists():
        return 0, 0, (), _first_line(ran.stderr or ran.stdout)
    cases = [*ElementTree.parse(report).iter("testcase")]
    ends = [{child.tag for child in case} for case in cases]
    failed = [
        f"{case.get('classname')}.{case.get('name')}"
        for case, end in zip(cases, ends, strict=True)
        if end & {"failure", "error"}
    ]
    skipped = sum("skipped" in end for end in ends)
    return len(cases) - len(failed) - skipped, skipped, tuple(sorted(failed)), ""


def _first_line(text: str) -> str:
    """Return the first line of an error, without addresses of package indexes and folders."""
    (first, *_) = [line for line in text.splitlines() if re.search(r"\w", line)] or [""]
    plain = re.sub(r"^\W*(error:)?\s*", "", first)
    return re.sub(r"\S*(://|/)\S+", "(place)", plain)[:200]


if __name__ == "__main__":
    answer("compatibility", rows)
