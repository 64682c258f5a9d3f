"""The help of each command on one screen: what most people need first, and two examples."""

import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import get_args, get_type_hints

WIDTH, INDENT = 80, 22


@dataclass(frozen=True)
class Shown:
    """What the short help of a command shows.

    Attributes:
        arguments: The arguments without a name, in their order.
        options: The options that most people need, the most important first.
        examples: Two commands.
    """

    arguments: tuple[str, ...]
    options: tuple[str, ...]
    examples: tuple[str, str]


SHOWN: Mapping[str, Shown] = {
    "train": Shown(
        (),
        ("data", "cameras", "recipe", "preset", "epochs", "hold-out", "run", "resume", "device"),
        (
            "train                                # synthetic recordings",
            "train --data capture/ --run runs/mine",
        ),
    ),
    "evaluate": Shown(
        ("run",),
        ("data", "out", "weights", "frames", "refine"),
        ("evaluate runs/mine", "evaluate runs/mine --data other/ --out errors.csv"),
    ),
    "predict": Shown(
        ("run", "keypoints"),
        ("view", "coordinates", "refine", "out", "cameras", "frames", "cutoff-hz", "overwrite"),
        (
            "predict runs/mine capture/ --view cam_1 --out poses.csv",
            "predict runs/mine - --cameras rig.toml < frames.jsonl",
        ),
    ),
    "triangulate": Shown(
        ("path",),
        ("out", "report", "cameras", "take", "frames", "method", "min-confidence", "cutoff-hz",
         "unit", "overwrite"),
        (
            "triangulate capture/ --out points.trc --report report.html",
            "triangulate capture/ --method refined --out points.csv",
        ),
    ),
    "view": Shown(
        ("paths",),
        ("out", "video", "frames", "take", "cameras", "up", "overwrite"),
        (
            "view capture/ --out skeleton.gif",
            "view capture/ lifted.npz --out compared.html",
        ),
    ),
    "inspect": Shown(
        ("path",),
        ("report", "cameras", "unit", "take"),
        ("inspect capture/", "inspect rig.toml --report rig.html"),
    ),
    "calibrate": Shown(
        ("path",),
        ("out", "report", "cameras", "start", "free", "stature", "distance", "picture"),
        (
            "calibrate capture/ --out repaired.toml --report rig.html",
            "calibrate capture/ --start intrinsics --stature 1.8",
        ),
    ),
    "detect": Shown(
        ("videos",),
        ("out", "model", "most-people", "overwrite"),
        (
            "detect cam1.mp4 cam2.mp4 --out tracks/",
            "detect session/*.mp4 --out tracks/ --model landmarker.task",
        ),
    ),
    "ablate": Shown(
        (),
        ("data", "seeds", "vary", "recipe", "preset", "jobs", "run"),
        (
            "ablate --data capture/ --seeds 3",
            "ablate --data capture/ --vary cameras=2,3,4",
        ),
    ),
    "export": Shown(
        ("run",),
        ("onnx", "web"),
        ("export runs/mine --onnx model.onnx", "export runs/mine --web page/"),
    ),
}  # fmt: skip


def short_help(program: str, command: str, kind: type) -> str:
    """Return the short help of a command.

    Args:
        program: The name of the program.
        command: The name of the command.
        kind: The dataclass of its options, whose docstring says what they mean.

    Returns:
        The text, at most 80 columns wide.
    """
    shown, meanings = SHOWN[command], dict(_meanings(kind))
    summary = (inspect.getdoc(kind) or "").partition("\n\n")[0]
    usage = " ".join([f"usage: {program} {command}", *map(str.upper, shown.arguments)])
    parts = [f"{usage} [OPTIONS]", "", textwrap.fill(" ".join(summary.split()), WIDTH), ""]
    names = {name: name.upper() for name in shown.arguments}
    names |= {name.replace("-", "_"): f"--{name}" for name in shown.options}
    # Without docstrings (python -OO) there are no meanings.
    parts += [_entry(written, meanings.get(name, "")) for name, written in names.items()]
    parts += ["", "examples:", *(f"  {program} {example}" for example in shown.examples)]
    parts += ["", f"All options and their defaults: {program} {command} --help-all"]
    return "\n".join(parts) + "\n"


def _meanings(kind: type) -> Iterator[tuple[str, str]]:
    """Yield every option of a dataclass and of the dataclasses in it, with its meaning."""
    hints = get_type_hints(kind, include_extras=False)
    for base in reversed(kind.__mro__):
        yield from _attributes(inspect.getdoc(base) if base is not object else "")
    for one in fields(kind):
        for nested in (hints[one.name], *get_args(hints[one.name])):
            if isinstance(nested, type) and is_dataclass(nested):
                yield from _meanings(nested)


def _attributes(doc: str | None) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each entry in the section Attributes of a docstring."""
    section = (doc or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    for name, text in re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", section, re.MULTILINE):
        yield name, " ".join(text.split())


def _entry(name: str, meaning: str) -> str:
    lines = textwrap.wrap(meaning, WIDTH - INDENT, break_on_hyphens=False) or [""]
    gap = " " * INDENT
    first = f"  {name}".ljust(INDENT) + lines[0]
    return "\n".join([first, *(gap + line for line in lines[1:])])
