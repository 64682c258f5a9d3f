"""What do the result files say? Write the tables of benchmarks/README.md and of the docs.

The table NAME is written between `<!-- table: NAME -->` and `<!-- end -->`, from all result files
of the newest version that measured it.

    python benchmarks/tables.py
"""

import json
import re
from collections.abc import Callable
from operator import itemgetter
from pathlib import Path
from typing import Any

from study_tables import (
    ablation,
    against_paper,
    chosen,
    data,
    detectors,
    ellipsoids,
    in_short,
    real_people,
    recipes,
    trials,
)

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    ROOT / "docs" / "calibration.md",
    ROOT / "docs" / "inputs.md",
    ROOT / "docs" / "kernels.md",
    ROOT / "docs" / "study.md",
    ROOT / "docs" / "scaling.md",
    ROOT / "docs" / "training.md",
    ROOT / "docs" / "trust.md",
)
HEADLINE_POINTS, HEADLINE_MATRICES = 139_264, 100_000
# The parts of a training step that process all frames from end to end.
WHOLE = {"whole step", "bare network"}

Row = dict[str, Any]


def triangulation(rows: list[Row]) -> list[list[str]]:
    """Compare the solvers on the headline scene."""
    some = [row for row in rows if row["points"] == HEADLINE_POINTS and row["rig"] == "ring"]
    return _compared(_first_of_each(some), "torch SVD", "views", "m")


def beside_busy(rows: list[Row]) -> list[list[str]]:
    """Compare the solvers where other processes keep the cores busy."""
    return _compared([row for row in rows if "busy" in row["rig"]], "torch SVD", "views", "m")


def two_views(rows: list[Row]) -> list[list[str]]:
    """Compare the solvers on two views, kornia and OpenCV too."""
    some = [row for row in rows if row["rig"] == "2 on a ring"]
    return _compared(some, "torch SVD", "views", "m")


def accuracy(rows: list[Row]) -> list[list[str]]:
    """Show the largest error on each rig in single precision."""
    some = [row for row in rows if row["dtype"] == "float32" and row["largest_error"] is not None]
    some = [row for row in some if row["points"] == HEADLINE_POINTS and not row["compiled"]]
    body = [["rig", "solver", "largest error [m]"], ["---", "---", "--:"]]
    for rig in ("ring", "5 degrees", "1.5, 3, 6, 9 m"):
        found = {row["solver"]: row["largest_error"] for row in some if row["rig"] == rig}
        body += [[rig, solver, f"{error:.1e}"] for solver, error in found.items()]
    return body


def growth(rows: list[Row]) -> list[list[str]]:
    """Show time and memory for several numbers of points and views."""
    some = [row for row in rows if row["solver"] == "ours" and row["mode"] == "forward"]
    some = _first_of_each(
        [row for row in some if row["dtype"] == "float32" and not row["compiled"]]
    )
    body = [["views", "points", "time [ms]", "points per second", "memory / pixels"]]
    body.append(["--:"] * 5)
    for row in sorted(some, key=lambda row: (row["views"], row["points"])):
        if not row["rig"].startswith("ring"):
            continue
        rate = row["points"] / row["milliseconds"] / 1e3
        pixels = row["points"] * row["views"] * 8 / 1e6
        memory = f"{row['peak_megabytes'] / pixels:.1f}"
        size = f"{row['points']:,}"
        body.append(
            [str(row["views"]), size, f"{row['milliseconds']:.2f}", f"{rate:.1f} M", memory]
        )
    return body


def procrustes(rows: list[Row]) -> list[list[str]]:
    """Compare the nearest rotations."""
    some = [row for row in rows if row["matrices"] == HEADLINE_MATRICES]
    return _compared(_first_of_each(some), "torch SVD", "matrices", "")


def projection(rows: list[Row]) -> list[list[str]]:
    """Compare the functions that undistort pixels."""
    body = [["lens", "dtype", "way", "time [ms]", "worst error [px]", "above 0.001 px"]]
    body.append(["---", "---", "---", "--:", "--:", "--:"])
    for row in rows:
        taken = f"{row['milliseconds']:.0f} ± {row['spread'] / 2:.0f}"
        share = f"{row['share_above_thousandth_px']:.2%}"
        worst = f"{row['worst_px']:.1e}"
        body.append([row["lens"], row["dtype"], row["way"], taken, worst, share])
    return body


def losses(rows: list[Row]) -> list[list[str]]:
    """Show how many frames per second each loss processes."""
    body = [
        ["loss", "frames", "time [ms]", "frames per second", "memory [MB]", "relative error"],
        ["---", "--:", "--:", "--:", "--:", "--:"],
    ]
    for row in rows:
        taken = f"{row['milliseconds']:.1f} ± {row['spread'] / 2:.1f}"
        rate, memory = f"{row['frames_per_second']:,.0f}", f"{row['peak_megabytes']:.0f}"
        error = "" if row.get("error") is None else f"{row['error']:.1e}"
        body.append([row["loss"], f"{row['frames']:,}", taken, rate, memory, error])
    return body


def training_step(rows: list[Row]) -> list[list[str]]:
    """Show where a training step spends its time, beside the bare network."""
    body = [["preset", "threads", "part", "time [ms]", "of a step", "frames per second"]]
    body.append(["---", "--:", "---", "--:", "--:", "--:"])
    kind = itemgetter("preset", "threads", "compiled", "tf32")
    whole = {kind(row): row["milliseconds"] for row in rows if row["part"] == "whole step"}
    for row in rows:
        share = row["milliseconds"] / whole[kind(row)]
        taken = f"{row['milliseconds']:,.1f} ± {row['spread'] / 2:,.1f}"
        rate = f"{row['frames_per_second']:,.0f}" if row["part"] in WHOLE else ""
        numbers = ", TF32" if row["tf32"] else ""
        name = f"`{row['preset']}` ({row['width']} wide, {row['frames']:,} frames{numbers})"
        body.append([name, str(row["threads"]), row["part"], taken, f"{share:.1%}", rate])
    return body


def schedule(rows: list[Row]) -> list[list[str]]:
    """Show how long the paper's training takes."""
    head = ["frames", "steps", "measured", "a step [ms]", "a step with L_out [ms]", "compiling [s]"]
    body = [[*head, "the whole [min]"], ["--:"] * 7]
    for row in rows:
        times = (row["milliseconds_per_step" + ending] for ending in ("", "_with_output"))
        body.append(
            [
                *(f"{row[name]:,}" for name in ("frames", "schedule_steps", "steps")),
                *(f"{time:,.1f}" for time in times),
                f"{row['compile_seconds']:.0f}" if row["compiled"] else "-",
                f"{row['schedule_seconds'] / 60:,.1f}",
            ]
        )
    return body


def gpu_kernels(rows: list[Row]) -> list[list[str]]:
    """Show wall-clock time, time on the device and errors; leave out what failed."""
    head = ["function", "solver", "points", "dtype", "mode", "time [ms]", "on the device [ms]"]
    head += ["copy of as many bytes [ms]", "median error", "largest error"]
    body = [head, ["---", "---", "--:", "---", "---", *["--:"] * 5]]
    for row in rows:
        if "traceback" in row:
            continue
        solver = row["solver"] + (", compiled" if row["compiled"] else "")
        times = (row[name + "milliseconds"] for name in ("", "device_", "floor_"))
        errors = (row[name + "_error"] for name in ("median", "largest"))
        body.append(
            [
                *(row["kernel"], solver, f"{row['points']:,}", row["dtype"], row["mode"]),
                *(f"{time:.3f}" for time in times),
                *("" if error is None else f"{error:.1e}" for error in errors),
            ]
        )
    return body


def robust(rows: list[Row]) -> list[list[str]]:
    """Compare with aniposelib-pytorch: times for a point, errors of the points both found."""
    some = [part for part in rows if part["title"].startswith("aniposelib-pytorch ")]
    if not some:
        return [["not measured: aniposelib-pytorch was not installed"], ["---"]]
    head = [some[0]["title"], "theirs [us]", "ours [us]", "faster", "median [mm]", "p99 [mm]"]
    body = [[*head, "found [%]"], ["---", *["--:"] * 6]]
    for name, row in some[0]["rows"].items():
        slow, slow_spread, fast, fast_spread, ratio, *pairs = row
        times = [f"{slow:.2f} ± {slow_spread / 2:.2f}", f"{fast:.2f} ± {fast_spread / 2:.2f}"]
        both = zip(pairs[::2], pairs[1::2], strict=True)
        errors = [f"{theirs:.2f} / {ours:.2f}" for theirs, ours in both]
        body.append([name, *times, f"{ratio:.1f}x", *errors])
    return body


def pairs(rows: list[Row]) -> list[list[str]]:
    """Show the time of robust triangulation for several numbers of pairs of views."""
    return _as_it_is(rows, "Pairs tried")


def calibration(rows: list[Row]) -> list[list[str]]:
    """Show the errors of calibrated rigs."""
    return _as_it_is(rows, "Drawn rigs")


def calibration_time(rows: list[Row]) -> list[list[str]]:
    """Show the time of a calibration against frames and cameras."""
    return _as_it_is(rows, "Time against")


def calibrated_training(rows: list[Row]) -> list[list[str]]:
    """Show the errors of lifters whose cameras were calibrated from people."""
    return _as_it_is(rows, "")


def hard_scenes(rows: list[Row]) -> list[list[str]]:
    """Show how far single precision is from the minimum, against that of a float32 SVD."""
    return _as_it_is(rows, "Error of")


def rig_health(rows: list[Row]) -> list[list[str]]:
    """Show how often a fault of a rig was named."""
    return _as_it_is(rows, "Faults")


def _as_it_is(rows: list[Row], title: str) -> list[list[str]]:
    part = next(part for part in rows if part["title"].startswith(title))
    body = [[part["title"], *part["columns"]], ["---", *["--:"] * len(part["columns"])]]
    return body + [[name, *map(_brief, row)] for name, row in part["rows"].items()]


def _brief(number: float) -> str:
    return f"{number:,.0f}" if number >= 1000 else f"{number:.3g}"


def missing(rows: list[Row]) -> list[list[str]]:
    """Show the errors with missing detections."""
    columns = rows[0]["columns"]
    body = [["", *columns], ["---", *["--:"] * len(columns)]]
    for part in rows:
        body.append([f"**{part['title']}**", *[""] * len(columns)])
        body += [[name, *(f"{n:.4g}" for n in row)] for name, row in part["rows"].items()]
    return body


def latency(rows: list[Row]) -> list[list[str]]:
    """Show the time of one pose, for each size of the network."""
    body = [
        [
            "preset",
            "way",
            "processor time of one pose [ms]",
            "poses per second",
            "largest difference [m]",
        ]
    ]
    body.append(["---", "---", "--:", "--:", "--:"])
    for row in rows:
        time = f"{row['milliseconds']:.2f} ± {row['spread'] / 2:.2f}"
        cells = [f"`{row['preset']}` ({row['width']} wide)", row["way"], time]
        difference = row["largest_difference"]
        error = "-" if difference is None else f"{difference:.0e}"
        body.append([*cells, f"{row['poses_per_second']:,.0f}", error])
    return body


def memory(rows: list[Row]) -> list[list[str]]:
    """Show the memory and the time of commands with long recordings."""
    body = [["command", "frames", "peak memory [MB]", "time [s]", "processor [s]", "commit"]]
    body.append(["---", "--:", "--:", "--:", "--:", "---"])
    for row in rows:
        measures = (row["peak_megabytes"], row["seconds"], row["processor_seconds"])
        cells = [row["command"], f"{row['frames']:,}"]
        body.append([*cells, *(f"{measure:,.0f}" for measure in measures), row["commit"]])
    return body


def fuzzing(rows: list[Row]) -> list[list[str]]:
    """Show how many damaged files were read, and how that ended."""
    body = [["damaged files", "formats", "minutes", "read", "one sentence", "other ends"]]
    body.append(["--:"] * 6)
    for row in rows:
        read, sentences = (row["ends"].get(name, 0) for name in ("read", "sentence"))
        numbers = (row["files"], row["formats"], row["minutes"], read, sentences)
        others = row["files"] - read - sentences
        body.append([*(f"{number:,.0f}" for number in numbers), f"{others:,}"])
    return body


def licenses(rows: list[Row]) -> list[list[str]]:
    """Show the license of every dependency."""
    body = [["package", "version", "needed for", "license"], ["---"] * 4]
    return body + [
        [row[name] for name in ("package", "version", "need", "license")] for row in rows
    ]


def compatibility(rows: list[Row]) -> list[list[str]]:
    """Show the versions that were tested together, and how the tests ended."""
    shown = ("torch", "numpy", "numba", "kornia", "scipy")
    body = [["Python", "dependencies", *shown, "passed", "skipped", "failed"]]
    body.append(["---", "---", *["---"] * len(shown), "--:", "--:", "---"])
    for row in rows:
        versions = [row["versions"].get(name, "") for name in shown]
        failed = row["reason"] or str(len(row["failed"]))
        numbers = ["", ""] if row["reason"] else [f"{row['passed']:,}", str(row["skipped"])]
        body.append([row["python"], row["dependencies"], *versions, *numbers, failed])
    return body


def mutants(rows: list[Row]) -> list[list[str]]:
    """Show how many changes of the code were noticed by the tests."""
    ends = [row["end"] for row in rows]
    killed, late, survived = (ends.count(end) for end in ("killed", "timeout", "survived"))
    head = ["changes", "modules", "noticed", "by time", "not noticed"]
    numbers = (len(rows), len({row["module"] for row in rows}), killed, late, survived)
    share = f"{(killed + late) / len(rows):.1%}"
    return [[*head, "share noticed"], ["--:"] * 6, [*map(str, numbers), share]]


def survivors(rows: list[Row]) -> list[list[str]]:
    """Show the changes that no test noticed, and why where a person found that."""
    body = [["module", "line", "change that no test noticed", "why"], ["---", "--:", "---", "---"]]
    for row in sorted(rows, key=lambda row: (row["module"], row["line"])):
        if row["end"] == "survived":
            change = row["change"].replace("|", "\\|").replace("`", "'")
            body.append([f"`{row['module']}`", str(row["line"]), f"`{change}`", row["reason"]])
    return body


def coverage(rows: list[Row]) -> list[list[str]]:
    """Show the share of statements and branches that the tests execute, and where others are."""
    head = ["package", "statements", "branches", "executed", "lines and branches not executed"]
    head += ["tests that failed", "commit"]
    body = [head, ["---", "--:", "--:", "--:", "---", "--:", "---"]]
    for row in rows:
        found = row["missing"] | row["missing_branches"]
        counts = {
            name: (len(row["missing"].get(name, ())), len(row["missing_branches"].get(name, ())))
            for name in sorted(found)
        }
        where = ", ".join(f"`{name}` {one} and {two}" for name, (one, two) in counts.items())
        share = 1 - sum(map(sum, counts.values())) / (row["statements"] + row["branches"])
        if counts:
            share = min(share, 0.9999)  # never rounded up to all
        numbers = (f"{row['statements']:,}", f"{row['branches']:,}", f"{share:.2%}")
        ends = (where or "none", f"{len(row['failed'])}", row["commit"])
        body.append([f"`{row['package']}`", *numbers, *ends])
    return body


TABLES: dict[str, tuple[str, Callable[[list[Row]], list[list[str]]]]] = {
    "triangulation": ("triangulation", triangulation),
    "beside busy processes": ("triangulation", beside_busy),
    "two views": ("triangulation", two_views),
    "accuracy": ("triangulation", accuracy),
    "growth": ("triangulation", growth),
    "procrustes": ("procrustes", procrustes),
    "projection": ("projection", projection),
    "losses": ("losses", losses),
    "training step": ("training-step", training_step),
    "schedule": ("schedule", schedule),
    "triangulation on a GPU": ("gpu-triangulation", gpu_kernels),
    "rotation on a GPU": ("gpu-rotation", gpu_kernels),
    "robust": ("robust", robust),
    "hard scenes": ("hard-scenes", hard_scenes),
    "pairs": ("robust", pairs),
    "calibration": ("calibration", calibration),
    "calibration time": ("calibration", calibration_time),
    "calibrated training": ("calibrated_training", calibrated_training),
    "rig health": ("rig_health", rig_health),
    "missing": ("missing", missing),
    "latency": ("latency", latency),
    "recipes": ("study", recipes),
    "recipes in short": ("study", in_short),
    "against paper": ("study", against_paper),
    "chosen": ("study", chosen),
    "ablation": ("study", ablation),
    "trials": ("study", trials),
    "cameras and data": ("study", data),
    "ellipsoids": ("study", ellipsoids),
    "real people": ("study", real_people),
    "detectors": ("study", detectors),
    "memory": ("memory", memory),
    "fuzzing": ("fuzzing", fuzzing),
    "licenses": ("licenses", licenses),
    "compatibility": ("compatibility", compatibility),
    "mutants": ("mutants", mutants),
    "survivors": ("mutants", survivors),
    "coverage": ("coverage", coverage),
}


def _first_of_each(rows: list[Row]) -> list[Row]:
    """Keep the first row of each kind: several parts of a suite may measure the same scene."""
    kinds = ("solver", "rig", "views", "points", "matrices", "dtype", "mode", "compiled")
    first: dict[tuple[Any, ...], Row] = {}
    for row in rows:
        first.setdefault(tuple(row.get(kind) for kind in kinds), row)
    return list(first.values())


def _compared(rows: list[Row], peer: str, of: str, unit: str) -> list[list[str]]:
    head = ["solver", of, "dtype", "mode", "time [ms]", f"times {peer}", f"largest error {unit}"]
    body = [head, ["---", "--:", "---", "---", "--:", "--:", "--:"]]
    slow = {(r["dtype"], r["mode"]): r["milliseconds"] for r in rows if r["solver"] == peer}
    for row in rows:
        times = slow[row["dtype"], row["mode"]] / row["milliseconds"]
        error = "" if row["largest_error"] is None else f"{row['largest_error']:.1e}"
        name = row["solver"] + (", compiled" if row["compiled"] else "")
        taken = f"{row['milliseconds']:.2f} ± {row['spread'] / 2:.2f}"
        body.append([name, str(row[of]), row["dtype"], row["mode"], taken, f"{times:.1f}", error])
    return body


def headline() -> str:
    """Write the table of the README: times beside those of the fastest peer, on a processor."""
    body = [["", "ours", "peer", "faster"], ["---", "--:", "--:", "--:"]]
    kinds = {"": "forward", ", with gradient": "forward + backward"}
    for suite, peer, what in (
        (
            "triangulation",
            "torch eigh",
            f"linear triangulation of {HEADLINE_POINTS:,} points, 4 views",
        ),
        ("procrustes", "RoMa", f"nearest rotations of {HEADLINE_MATRICES:,} matrices"),
    ):
        rows = [row for row in _cpu_rows(suite) if _is_headline(row)]
        for ending, mode in kinds.items():
            ours, theirs = (
                next(r["milliseconds"] for r in rows if (r["solver"], r["mode"]) == (solver, mode))
                for solver in ("ours", peer)
            )
            body.append([what + ending, *_beside(ours, f"{peer}", theirs, "ms")])
    compared = _part(_cpu_rows("robust"), "aniposelib-pytorch")
    slow, _, fast, *_ = compared["robust, 5 cameras, float32"]
    body.append(
        [
            "robust triangulation of a point, 5 cameras",
            *_beside(fast, "aniposelib-pytorch", slow, "us"),
        ]
    )
    rigs = _part(_cpu_rows("calibration"), "Drawn rigs")
    kind = "4 like Human3.6M"
    ours = rigs.get(f"{kind}, ours on these rigs", rigs[f"{kind}, ours"])[-1]
    theirs = rigs[f"{kind}, aniposelib-pytorch"][-1]
    body.append(
        ["poses of 4 cameras, from a person", *_beside(ours, "aniposelib-pytorch", theirs, "s")]
    )
    return "\n".join(f"| {' | '.join(row)} |" for row in body)


def _cpu_rows(suite: str) -> list[Row]:
    rows: list[Row] = json.loads(newest_results(f"{suite}--*--cpu.json")[0].read_text())["rows"]
    return rows


def _is_headline(row: Row) -> bool:
    scene = (row.get("points"), row.get("rig")) == (HEADLINE_POINTS, "ring")
    many = scene or row.get("matrices") == HEADLINE_MATRICES
    return many and row["dtype"] == "float32" and not row["compiled"]


def _part(rows: list[Row], title: str) -> Row:
    part: Row = next(part for part in rows if part["title"].startswith(title))["rows"]
    return part


def _beside(ours: float, peer: str, theirs: float, unit: str) -> list[str]:
    return [f"{ours:.2g} {unit}", f"{peer} {theirs:.3g} {unit}", f"{theirs / ours:.0f}x"]


def written(name: str) -> str:
    """Write one table for every processor it was measured on."""
    if name == "headline":
        return headline()
    suite, tabulate = TABLES[name]
    parts = []
    for path in newest_results(f"{suite}--*.json"):
        record = json.loads(path.read_text())
        where = f"{record['processor']}, {record['device']}, {record['threads']} threads"
        lines = [f"| {' | '.join(row)} |" for row in tabulate(record["rows"])]
        parts.append(f"{where}, commit {record['commit']}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def newest_results(pattern: str) -> list[Path]:
    """Return the result files of this name in the newest version that has one."""
    folders = [folder for folder in RESULTS.iterdir() if any(folder.glob(pattern))]
    if not folders:
        raise FileNotFoundError(f"no result file {pattern} in {RESULTS}: measure it first")
    newest = max(folders, key=lambda folder: [int(part) for part in folder.name.split(".")])
    return sorted(newest.glob(pattern))


def main() -> None:
    """Write the tables of every page."""
    for page in PAGES:
        text = page.read_text()
        for name in re.findall(r"<!-- table: (.*?) -->", text):
            marks = rf"(<!-- table: {re.escape(name)} -->\n).*?(<!-- end -->)"
            table = written(name)
            text = re.sub(marks, lambda m, t=table: f"{m[1]}\n{t}\n\n{m[2]}", text, flags=re.DOTALL)
        page.write_text(text)


if __name__ == "__main__":
    main()
