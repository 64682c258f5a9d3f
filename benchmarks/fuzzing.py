"""Does any damaged file crash a reader, take its memory or its time, or end without a sentence?

Files of every format are damaged at random: bytes; numbers, words and lines of texts; nodes of JSON
trees; datasets of HDF5 files; arrays and members of zip archives. A child process reads them with
1 GB of memory beyond what it has after its imports, and 5 seconds of the processor for each. What
ends in another way than a result or one sentence is kept in `build/fuzzing`, once for each kind of
error and line of code. The exit status is 0 if there is none.

    python benchmarks/fuzzing.py [--minutes 30] [--seed 0]
"""

import argparse
import copy
import io
import json
import multiprocessing
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NoReturn

from measure import Suite, commit

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
KEPT = ROOT / "build" / "fuzzing"
MEMORY, SECONDS = 10**9, 5
# Every eighth file is inspected too: a search for what is wrong with cameras that disagree, whose
# time depends on the number of cameras and not on the file.
SECONDS_CLOSELY = 20
# A file that takes longer than this by the clock holds the child up where no signal reaches it [s].
HANGS = 120
# A child reads so many files: what one leaves behind shall not hide what the next one needs.
FILES_OF_A_CHILD = 400
NUMBERS = (
    "0", "-0", "-1", "1", "255", "65536", "4294967296", "1e9", "9" * 20, "9" * 400, "1e400", "nan",
    "-inf", "1e-320", "0x1p3", "1_0", "", "null", "true", "[]", "{}", "a", "\u0663", "1,5",
)  # fmt: skip
ODDITIES: tuple[Any, ...] = (
    None, True, "", "text", "../../x", "[/red]", "a" * 5_000, 0, -1, 1.5, 1e308, 10**30, 10**400,
    float("nan"), float("inf"), [], {}, [[]], [None], {"": {}}, [1e9] * 3, ["a"] * 17,
)  # fmt: skip

# A shorter run is a draft, whose result is not published.
LEAST_MINUTES = 5

Damage = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True)
class Row:
    """How many files were read, how that ended, and the kinds of findings."""

    minutes: float
    seed: int
    formats: int
    files: int
    ends: dict[str, int]
    findings: list[str]


class TooLongError(BaseException):
    """A file took more than the allowed seconds; no reader may catch it."""


def some_bytes(content: bytes, draw: random.Random) -> bytes:
    """Replace, remove, double or move some bytes."""
    at, end = sorted(draw.randrange(len(content) + 1) for _ in range(2))
    end = min(end, at + draw.choice((1, 2, 8, 64, 4096)))
    part = content[at:end]
    return draw.choice(
        (
            content[:at] + bytes([draw.randrange(256)]) + content[at + 1 :],
            content[:at] + draw.choice((b"\x00", b"\xff", b"\x7f")) * len(part) + content[end:],
            content[:at] + content[end:],
            content[:at] + part * draw.choice((2, 3, 100)) + content[end:],
            content[:end] + part + content[end:],
            content[:at],
        )
    )


def some_words(content: bytes, draw: random.Random) -> bytes:
    """Replace a number or a word, or remove, double, indent or exchange lines."""
    text = content.decode("utf-8", "replace")
    if draw.random() < 0.6:
        words = [*re.finditer(r"-?\d[\d.eE+-]*|\w+|[\[\]{}:,\"]", text)]
        if words:
            word = draw.choice(words)
            other = draw.choice((draw.choice(NUMBERS), draw.choice(words).group(), "[" * 2_000))
            text = text[: word.start()] + other + text[word.end() :]
        return text.encode()
    lines = text.splitlines(keepends=True) or [""]
    at = draw.randrange(len(lines))
    line = lines[at]
    changed = ([line] * 3, [], ["  " + line], [draw.choice(lines)], [line * 50])
    lines[at : at + 1] = draw.choice(changed)
    return "".join(lines).encode()


def some_node(content: bytes, draw: random.Random) -> bytes:
    """Replace, remove, double or wrap a node of a JSON tree."""
    tree = {"": json.loads(content)}
    parent: Any = tree
    key: Any = ""
    for _ in range(draw.randrange(8)):
        node = parent[key]
        if not isinstance(node, dict | list) or not node:
            break
        parent, key = node, draw.choice([*node] if isinstance(node, dict) else range(len(node)))
    kind = draw.randrange(4)
    if kind == 0 and parent is not tree:
        del parent[key]
    elif kind == 1 and isinstance(parent, list):
        parent[key:key] = [copy.deepcopy(parent[key])] * draw.choice((1, 3, 200))
    elif kind == 2:
        for _ in range(draw.choice((1, 2, 2_000))):
            parent[key] = [parent[key]]
    else:
        parent[key] = draw.choice(ODDITIES)
    return json.dumps(tree.get("", {})).encode()


def some_member(content: bytes, draw: random.Random) -> bytes:
    """Remove, rename or change a member of a zip archive; change the header of an array."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {one.filename: archive.read(one) for one in archive.infolist()}
    name = draw.choice([*members])
    data = members.pop(name)
    header = re.search(rb"'shape': \(([\d, ]*)\)", data[:200])
    kind = draw.randrange(4)
    if kind == 0 and header is not None:
        shape = draw.choice((b"", b"0,", b"99999999999,", b"1, 1, 1, 2", b"-1,", b"2, 3, 17, 2"))
        start, end = header.span(1)
        data = data[:start] + shape.ljust(end - start)[: end - start] + data[end:]
    elif kind == 1:
        data = draw.choice((some_bytes, some_words))(data, draw)
    elif kind == 2:
        dtype = draw.choice((b"<f8", b">f4", b"|O", b"<c8", b"<U9", b"|V8", b"<i8", b"|S4"))
        data = re.sub(rb"'descr': '[^']*'", b"'descr': '" + dtype + b"'", data, count=1)
    if kind != 3:
        members[draw.choice((name, name, "x.npy"))] = data
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", draw.choice((0, zipfile.ZIP_DEFLATED))) as archive:
        for other, one in members.items():
            archive.writestr(other, one)
    return packed.getvalue()


def some_dataset(content: bytes, draw: random.Random) -> bytes:
    """Remove, cut, retype or enlarge a dataset of an HDF5 file."""
    import h5py
    import numpy as np

    image = io.BytesIO(content)
    names: list[str] = []
    with h5py.File(image, "r+") as file:
        file.visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        name = draw.choice(names)
        values = np.asarray(file[name][()])
        attributes = dict(file[name].attrs)
        del file[name]
        kind = draw.randrange(6)
        if kind == 1:
            file.create_dataset(name, (10**6, 10**4), values.dtype, fillvalue=values.flat[0])
        elif kind:
            other = (values[:0], values.T, values.astype("S"), values[None], values[..., :1])
            file[name] = other[kind - 1]
        if kind:
            file[name].attrs.update(attributes)
    return image.getvalue()


def damaged(content: bytes, suffix: str, draw: random.Random) -> bytes:
    """Damage a file's content in a way that fits its suffix, or else its bytes."""
    try:
        return draw.choice(DAMAGES.get(suffix, OTHERS))(content or b"0", draw)
    except Exception:
        return some_bytes(content or b"0", draw)


DAMAGES: dict[str, tuple[Damage, ...]] = {
    ".json": (some_bytes, some_words, some_node, some_node),
    ".npz": (some_bytes, some_member, some_member),
    ".npy": (some_bytes, some_words),
    ".h5": (some_bytes, some_dataset),
    ".mat": (some_bytes,),
    ".bin": (some_bytes,),
}
OTHERS = (some_bytes, some_words, some_words)


def write_examples(folder: Path) -> list[Path]:
    """Write a folder for each format of detections, dataset and calibration; return them."""
    from selfsup_lifting.recording_file import save_recording
    from tests.multiview_geom.camera_files import calibration_texts
    from tests.selfsup_lifting.files.datasets import dataset_files
    from tests.selfsup_lifting.files.layouts import BODIES, WRITERS, write_session
    from tests.selfsup_lifting.strategies import Scene

    examples = []
    for name, writer in WRITERS.items():
        scene = Scene(views=2, frames=3, skeleton=BODIES[name]).recording()
        examples.append(write_session(folder / name, scene, writer))
    for name, files in calibration_texts.FILES.items():
        (folder / f"calibration-{name}").mkdir()
        for file, content in files.items():
            data = content.encode() if isinstance(content, str) else content
            (folder / f"calibration-{name}" / file).write_bytes(data)
        examples.append(folder / f"calibration-{name}")
    for kind in vars(dataset_files).values():
        if getattr(kind, "__module__", "") == dataset_files.__name__ and hasattr(kind, "write"):
            home = folder / f"dataset-{kind.__name__.lower()}"
            home.mkdir()
            kind().write(home)
            examples.append(home)
    (folder / "native").mkdir()
    save_recording(folder / "native" / "one.npz", Scene(views=2, frames=3).recording())
    return [*examples, folder / "native"]


def read(folder: Path, *, closely: bool) -> str:
    """Read a folder as recordings or as a calibration; return how that ended."""
    from multiview_geom import CameraFileError, read_camera_file
    from selfsup_lifting.evaluation.inspection import inspect_results
    from selfsup_lifting.files import read_results
    from selfsup_lifting.read_errors import ReadError
    from selfsup_lifting.read_settings import ReadSettings

    sentences = 0
    if folder.name.startswith("calibration-"):
        for path in sorted(folder.iterdir()):
            try:
                read_camera_file(path)
            except CameraFileError as error:
                sentences += require_sentence(error)
        return "sentence" if sentences else "read"
    try:
        results = read_results(str(folder), ReadSettings())
        if closely:
            inspect_results(results)
    except ReadError as error:
        require_sentence(error)
        return "sentence"
    return "read"


def require_sentence(error: Exception) -> int:
    """Raise an AssertionError for a message that is empty or long, or has control characters."""
    text = str(error)
    if not text.strip() or len(text) > 3_000 or re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text):
        raise AssertionError(f"no sentence: {text[:200]!r}")
    return 1


def stop(*_: object) -> NoReturn:
    """Interrupt what takes too long."""
    raise TooLongError


def limit_memory() -> None:
    """Allow this process so much memory beyond what it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def warm_up(examples: list[Path]) -> None:
    """Read every sound example, so that the compiled loops are in their cache."""
    import torch

    from multiview_geom import triangulate_dlt

    for one in examples:
        read(one, closely=True)
    # No sound example has points in doubt, which another loop solves.
    triangulate_dlt(torch.eye(3, 4).expand(2, 3, 4), torch.zeros(2, 1, 2))


def child(examples: list[Path], folder: Path, seed: int, deadline: float) -> None:
    """Damage and read some files; write what is wrong into files of the folder."""
    import torch

    from selfsup_lifting.simulation import stick_figure  # noqa: F401 - imports everything

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    read(examples[0], closely=True)
    limit_memory()
    signal.signal(signal.SIGPROF, stop)
    draw, ends = random.Random(seed), Counter[str]()
    for number in range(FILES_OF_A_CHILD):
        if time.monotonic() > deadline:
            break
        one = draw.choice(examples)
        case = folder / "case" / one.name
        shutil.rmtree(folder / "case", ignore_errors=True)
        shutil.copytree(one, case)
        file = draw.choice(sorted(path for path in case.rglob("*") if path.is_file()))
        content = file.read_bytes()
        for again in range(draw.choice((1, 1, 2, 4))):
            # To open a damaged HDF5 file without the readers' gate could take forever.
            kind = ".bin" if again and file.suffix == ".h5" else file.suffix
            content = damaged(content, kind, draw)
        file.write_bytes(content)
        (folder / "now").write_text(f"{seed} {number} {file.relative_to(folder)}")
        closely = number % 8 == 0
        signal.setitimer(signal.ITIMER_PROF, SECONDS_CLOSELY if closely else SECONDS)
        try:
            ends[read(case, closely=closely)] += 1
        except BaseException as error:
            signal.setitimer(signal.ITIMER_PROF, 0)
            ends[type(error).__name__] += 1
            keep(case, file.name, error)
        signal.setitimer(signal.ITIMER_PROF, 0)
    (folder / "ends").write_text(json.dumps(ends))


def wait_while_busy(process: SpawnProcess, now: Path) -> None:
    """Wait until a child has ended; kill it if it hangs in one file."""
    before = ""
    while process.is_alive():
        process.join(HANGS)
        current = now.read_text() if now.exists() else "-"
        if process.is_alive() and current == before:
            process.kill()
            process.join()
        before = current


def keep(case: Path, file: str, error: BaseException | None, code: int = 0) -> None:
    """Keep a case that ended badly, if it is the first of its kind."""
    kind, text = f"exit status {code}", ""
    if error is not None:
        every = traceback.extract_tb(error.__traceback__)
        frames = [one for one in every if "/src/" in one.filename]
        place = f"{Path(frames[-1].filename).name}-{frames[-1].lineno}" if frames else "unknown"
        kind = f"{type(error).__name__} {place}"
        text = "".join(traceback.format_exception(error))[-6_000:]
    target = KEPT / re.sub(r"[^\w.-]+", "-", f"{kind} {case.name if error is None else ''}".strip())
    if target.exists():
        return
    shutil.copytree(case, target / case.name)
    (target / "finding.txt").write_text(f"{kind}: {case.name}, damaged: {file}\n{text}")


def main() -> int:
    """Fuzz for the given time, in one process after the other; print how files ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    commit()  # before a long run, during which the checkout may change
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    started, deadline = time.monotonic(), time.monotonic() + 60 * asked.minutes
    total, seed = Counter[str](), asked.seed
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "examples").mkdir()
        examples = write_examples(folder / "examples")
        spawn = multiprocessing.get_context("spawn")
        first = spawn.Process(target=warm_up, args=(examples,))
        first.start()
        first.join()
        if first.exitcode:
            raise SystemExit("a sound example cannot be read")
        while time.monotonic() < deadline:
            (folder / "ends").unlink(missing_ok=True)
            process = spawn.Process(target=child, args=(examples, folder, seed, deadline))
            process.start()
            wait_while_busy(process, folder / "now")
            if process.exitcode or not (folder / "ends").exists():
                total["crash"] += 1
                case = next((folder / "case").iterdir())
                keep(case, (folder / "now").read_text(), None, process.exitcode or -1)
            else:
                total.update(json.loads((folder / "ends").read_text()))
            seed += 1
    minutes = (time.monotonic() - started) / 60
    files = f"{sum(total.values())} files of {len(examples)} formats"
    print(f"{files} in {minutes:.0f} minutes: {dict(total)}")
    findings = sorted(path.name for path in KEPT.iterdir())
    print(f"{len(findings)} kinds of findings in {KEPT}", *findings, sep="\n")
    row = Row(asked.minutes, asked.seed, len(examples), sum(total.values()), dict(total), findings)
    print(Suite("fuzzing", "cpu", 1, quick=asked.minutes < LEAST_MINUTES).save([row]))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
