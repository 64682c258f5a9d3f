"""The benchmarks' own tables, beside what the paper published."""

import csv
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import nan
from pathlib import Path
from types import MappingProxyType
from typing import Any

from selfsup_lifting.atomic_write import replacing
from selfsup_lifting.config import Config
from selfsup_lifting.config_toml import as_plain
from selfsup_lifting.evaluation.evaluate import Errors, Evaluation, evaluate_lifter
from selfsup_lifting.files import find_reader
from selfsup_lifting.recipes import RECIPES
from selfsup_lifting.recording import Recording
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.splits import Split, hold_out

PAPER = "Bouazizi et al. 2021"
ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases",
    "Sitting", "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether",
)  # fmt: skip
# The 14 joints that MPI-INF-3DHP's script counts; a skeleton without a neck has the thorax there.
COUNTED = (
    "head_top", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder",
    "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip",
    "left_knee", "left_ankle",
)  # fmt: skip
# Settings that say where a run stands, and nothing about how it learns.
OF_THE_PLACE = frozenset({"data", "run", "device", "seed", "overwrite", "read.cameras"})


@dataclass(frozen=True)
class BenchmarkTable:
    """One table of a benchmark.

    Attributes:
        title: What it shows.
        columns: What each number of a row is.
        rows: For each row its name and its numbers; NaN where there is none.
        notes: What differs from the published protocol, and what is not published.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float, ...]], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Benchmark:
    """What a benchmark judges by.

    Attributes:
        name: What it is called.
        recipe: The recipe with the paper's settings; empty where the paper trains elsewhere.
        subjects: The subjects that are tested.
        actions: The actions that are tested; all where there is none.
        tabulate: What makes its tables from an evaluation of all joints, and one of the joints
            counted.
    """

    name: str
    recipe: str
    subjects: tuple[str, ...]
    actions: tuple[str, ...]
    tabulate: Callable[[Evaluation, Evaluation], list[BenchmarkTable]]


def human36m_tables(evaluation: Evaluation, _: Evaluation) -> list[BenchmarkTable]:
    """Make Tables I and II: Human3.6M, by action and over all."""
    measures = {"P-MPJPE": "p_mpjpe_mm", "MPJPE": "mpjpe_mm", "N-MPJPE": "n_mpjpe_mm"}
    columns = (*ACTIONS, "mean of actions", "mean of frames")
    rows = []
    for name, measure in measures.items():
        by_action = [_of(evaluation.per_action.get(action), measure) for action in ACTIONS]
        means = (getattr(evaluation.action_mean, measure), getattr(evaluation.total, measure))
        rows.append((f"this run, {name}", (*by_action, *means)))
    blank = (nan,) * len(ACTIONS)
    rows.append((f"{PAPER}, P-MPJPE", (*blank, nan, 62.0)))
    overall = BenchmarkTable(
        title="Human3.6M, P-MPJPE over all poses [mm] (Table I)",
        columns=("P-MPJPE",),
        rows=(
            ("EpipolarPose (Kocabas et al. 2019)", (67.5,)),
            (PAPER, (62.0,)),
            ("this run", (evaluation.total.p_mpjpe_mm,)),
        ),
        notes=(),
    )
    notes = (
        "the paper's 62.0 is taken for a mean of frames: its code has no other",
        "the paper's errors of single actions are not at hand here, so they are left blank",
    )
    title = "Human3.6M by action [mm] (Table II)"
    return [overall, BenchmarkTable(title, columns, tuple(rows), notes)]


def humaneva_tables(evaluation: Evaluation, _: Evaluation) -> list[BenchmarkTable]:
    """Make Table III: HumanEva, by action and subject."""
    cells = [(action, subject) for action in ("Walking", "Jog") for subject in ("S1", "S2", "S3")]
    columns = (*(f"{action} {subject}" for action, subject in cells), "mean", "mean of frames")
    rows = []
    for name, measure in {"P-MPJPE": "p_mpjpe_mm", "MPJPE": "mpjpe_mm"}.items():
        found = evaluation.per_subject_and_action
        values = [
            _of(found.get(f"Validate/{subject} {action}"), measure) for action, subject in cells
        ]
        whole = sum(values) / len(values)
        rows.append((f"this run, {name}", (*values, whole, getattr(evaluation.total, measure))))
    rows.append((f"{PAPER}, P-MPJPE", (*(nan,) * len(cells), 58.9, nan)))
    notes = (
        "the paper lifts Stacked Hourglass detections and does not say how its 16 joints become 15",
        "the paper's errors of single subjects and actions are not at hand here",
    )
    return [BenchmarkTable("HumanEva by action [mm] (Table III)", columns, tuple(rows), notes)]


def mpi_inf_3dhp_tables(evaluation: Evaluation, counted: Evaluation) -> list[BenchmarkTable]:
    """Make Table V: MPI-INF-3DHP, overall, by sequence and by activity."""
    columns = ("PCK [%]", "AUC [%]", "MPJPE [mm]")
    many, few = len(evaluation.counted), len(counted.counted)
    overall = (
        (f"this run, {few} joints", _correct(counted.total, "")),
        (f"this run, {few} joints, aligned", _correct(counted.total, "p_")),
        (f"this run, {many} joints", _correct(evaluation.total, "")),
        (f"this run, {many} joints, aligned", _correct(evaluation.total, "p_")),
        (f"{PAPER}, trained on Human3.6M", (65.9, 32.5, nan)),
    )
    parts = {**counted.per_subject, **counted.per_action}
    notes = (
        "joints strictly closer than 150 mm; AUC over 0, 5, ... 150 mm, 96.77 at most",
        f"the {few} joints counted: {', '.join(counted.counted)}",
        "MPJPE is over all joints; aligned is after the best similarity transform of each pose",
        "the paper says neither which joints, nor which truth, nor whether aligned",
    )
    by_part = tuple((name, _correct(errors, "")) for name, errors in parts.items())
    return [
        BenchmarkTable("MPI-INF-3DHP (Table V)", columns, overall, notes),
        BenchmarkTable("MPI-INF-3DHP by sequence and activity", columns, by_part, ()),
    ]


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType(
    {
        "human36m": Benchmark("Human3.6M", "paper-h36m", ("S9", "S11"), (), human36m_tables),
        "humaneva": Benchmark(
            "HumanEva",
            "paper-humaneva",
            ("Validate/S1", "Validate/S2", "Validate/S3"),
            ("Walking", "Jog"),
            humaneva_tables,
        ),
        "mpi_inf_3dhp": Benchmark(
            "MPI-INF-3DHP",
            "",
            tuple(f"TS{number}" for number in range(1, 7)),
            (),
            mpi_inf_3dhp_tables,
        ),
    }
)


def benchmark_of(data: Sequence[str]) -> Benchmark | None:
    """Find the benchmark that all sources are of; None where they are of none."""
    kinds = {find_reader(source)[0] for source in data}
    return BENCHMARKS.get(kinds.pop()) if len(kinds) == 1 else None


def split_for(config: Config, recordings: Sequence[Recording]) -> Split:
    """Keep out what the settings name, else what the benchmark tests, else as `hold_out` does.

    Args:
        config: The settings of a run.
        recordings: What its data hold.

    Returns:
        The split.
    """
    benchmark = benchmark_of(config.data)
    present = {recording.subject for recording in recordings}
    kept = () if benchmark is None else tuple(sorted(present & set(benchmark.subjects)))
    return hold_out(recordings, config.hold_out or (kept if set(kept) < present else ()))


def takes_of_test(benchmark: Benchmark, recordings: Sequence[Recording]) -> list[Recording]:
    """Return the takes that a benchmark tests; all of them where none is of its test."""
    chosen = [
        take
        for take in recordings
        if take.subject in benchmark.subjects
        and (not benchmark.actions or take.action in benchmark.actions)
    ]
    return chosen or list(recordings)


def evaluate_for(
    data: Sequence[str], lifter: Lifter, recordings: Sequence[Recording], config: Config
) -> tuple[Evaluation, list[BenchmarkTable]]:
    """Evaluate as the benchmark does that the data are of; else by action, subject and camera.

    Args:
        data: Where the recordings come from.
        lifter: A trained network in evaluation mode.
        recordings: What to evaluate on; of a benchmark its test alone is taken.
        config: The settings that the network was trained with.

    Returns:
        The evaluation and its tables.
    """
    benchmark = benchmark_of(data)
    if benchmark is None:
        evaluation = evaluate_lifter(lifter, recordings)
        return evaluation, own_tables(evaluation)
    return benchmark_tables(benchmark, lifter, takes_of_test(benchmark, recordings), config)


def benchmark_tables(
    benchmark: Benchmark, lifter: Lifter, recordings: Sequence[Recording], config: Config
) -> tuple[Evaluation, list[BenchmarkTable]]:
    """Evaluate as a benchmark does.

    Args:
        benchmark: Which one.
        lifter: A trained network in evaluation mode.
        recordings: Its test.
        config: The settings that the network was trained with.

    Returns:
        The evaluation over all joints, and the tables, the first of which says what differs from
        the published protocol.
    """
    evaluation = evaluate_lifter(lifter, recordings)
    counted = evaluate_lifter(lifter, recordings, counted=_counted(lifter))
    first, *others = benchmark.tabulate(evaluation, counted)
    notes = (*first.notes, *_differences(benchmark, evaluation, config))
    return evaluation, [replace(first, notes=notes), *others]


def own_tables(evaluation: Evaluation) -> list[BenchmarkTable]:
    """Make the table of data that belong to no benchmark: by action, subject and camera."""
    columns = {
        "P-MPJPE [mm]": ("p_mpjpe_mm", 1.0),
        "MPJPE [mm]": ("mpjpe_mm", 1.0),
        "N-MPJPE [mm]": ("n_mpjpe_mm", 1.0),
        "velocity [mm/frame]": ("velocity_mm", 1.0),
        "PCK [%]": ("pck", 100.0),
        "AUC [%]": ("auc", 100.0),
    }
    parts: dict[str, Errors] = dict(evaluation.per_action)
    for what, groups in (("subject", evaluation.per_subject), ("camera", evaluation.per_camera)):
        parts |= {f"{what} {name}": one for name, one in groups.items() if len(groups) > 1}
    parts |= {"mean of actions": evaluation.action_mean, "mean of frames": evaluation.total}
    rows = tuple(
        (name, tuple(scale * getattr(errors, measure) for measure, scale in columns.values()))
        for name, errors in parts.items()
    )
    note = f"{evaluation.joints} joints: {', '.join(evaluation.joint_names)}"
    return [BenchmarkTable("Single-view predictions", tuple(columns), rows, (note,))]


def save_tables(path: Path, evaluation: Evaluation, tables: Sequence[BenchmarkTable]) -> None:
    """Write an evaluation with its tables as JSON, or its tables as CSV or LaTeX.

    Args:
        path: Where to, as `require_table` allowed it; the suffix says what.
        evaluation: The evaluation.
        tables: Its tables.
    """
    with replacing(path) as temporary:
        WRITERS[path.suffix](temporary, evaluation, tables)


def require_table(path: Path, *, overwrite: bool = False) -> None:
    """Refuse, before any work is done, a path that tables could not be written to."""
    if path.suffix not in WRITERS:
        raise ValueError(f"{path}: tables are written as {', '.join(WRITERS)}")
    if path.exists() and not overwrite:
        raise FileExistsError(f"{path} exists; --overwrite replaces it")


def written(number: float) -> str:
    """Write a number of a table; nothing where there is none."""
    return "" if number != number else f"{number:.1f}"  # noqa: PLR0124 - NaN differs from itself


def _write_json(path: Path, evaluation: Evaluation, tables: Sequence[BenchmarkTable]) -> None:
    plain: list[dict[str, Any]] = [asdict(table) for table in tables]
    for table in plain:
        table["rows"] = {
            name: [_or_none(one) for one in numbers] for name, numbers in table["rows"]
        }
    report = {**evaluation.as_dict(), "tables": plain}
    path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _write_csv(path: Path, _: Evaluation, tables: Sequence[BenchmarkTable]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file)
        for table in tables:
            lines.writerow([table.title, *table.columns])
            lines.writerows(
                [name, *("" if one != one else repr(one) for one in numbers)]  # noqa: PLR0124 - NaN
                for name, numbers in table.rows
            )
            lines.writerows([f"note: {note}"] for note in table.notes)


def _write_latex(path: Path, _: Evaluation, tables: Sequence[BenchmarkTable]) -> None:
    lines = []
    for table in tables:
        heads = " & ".join(_escaped(column) for column in table.columns)
        lines += [f"% {table.title}", f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}"]
        lines += ["\\hline", f" & {heads} \\\\", "\\hline"]
        for name, numbers in table.rows:
            lines.append(f"{_escaped(name)} & {' & '.join(map(written, numbers))} \\\\")
        lines += ["\\hline", "\\end{tabular}", *(f"% {note}" for note in table.notes), ""]
    path.write_text("\n".join(lines), encoding="utf-8")


WRITERS: Mapping[str, Callable[[Path, Evaluation, Sequence[BenchmarkTable]], None]] = (
    MappingProxyType({".json": _write_json, ".csv": _write_csv, ".tex": _write_latex})
)


def _of(errors: object, measure: str) -> float:
    return nan if errors is None else float(getattr(errors, measure))


def _correct(errors: object, prefix: str) -> tuple[float, ...]:
    """Return PCK and AUC in per cent, and MPJPE or P-MPJPE."""
    shares = (100 * _of(errors, f"{prefix}{name}") for name in ("pck", "auc"))
    return (*shares, _of(errors, f"{prefix}mpjpe_mm"))


def _counted(lifter: Lifter) -> tuple[str, ...]:
    """Return the counted joints that a skeleton has, its thorax in the place of a missing neck."""
    joints = lifter.skeleton.joints
    named = ("thorax" if name == "neck" and name not in joints else name for name in COUNTED)
    return tuple(name for name in named if name in joints)


def _differences(benchmark: Benchmark, evaluation: Evaluation, config: Config) -> list[str]:
    """Say what differs from the published protocol."""
    subjects = tuple(evaluation.per_subject)
    joints = f"{evaluation.joints} joints: {', '.join(evaluation.joint_names)}"
    rate = " to ".join(f"{one:g}" for one in dict.fromkeys(evaluation.fps))
    told = [f"{evaluation.frames} frames at {rate} per second, {joints}"]
    if evaluation.reference != "truth":
        told.append("DIFFERS: compared with the triangulation of all views, for want of a truth")
    if set(subjects) != set(benchmark.subjects):
        wanted = ", ".join(benchmark.subjects)
        told.append(f"DIFFERS: tested on {', '.join(subjects)}; the benchmark tests {wanted}")
    missing = sorted(set(benchmark.actions or _all_actions(benchmark)) - set(evaluation.per_action))
    if missing:
        told.append(f"DIFFERS: without {', '.join(missing)}")
    if benchmark.recipe:
        told += [f"DIFFERS: trained with {one}" for one in _other_settings(benchmark, config)]
    return told


def _all_actions(benchmark: Benchmark) -> tuple[str, ...]:
    return ACTIONS if benchmark is BENCHMARKS["human36m"] else ()


def _other_settings(benchmark: Benchmark, config: Config) -> list[str]:
    """List the settings of a training that are not those of the paper's recipe."""
    papers = _flat(as_plain(RECIPES[benchmark.recipe](Config())))
    ours = _flat(as_plain(config))
    names = sorted((set(papers) | set(ours)) - OF_THE_PLACE)
    return [
        f"{name} = {ours.get(name)} (the paper's recipe: {papers.get(name)})"
        for name in names
        if ours.get(name) != papers.get(name)
    ]


def _flat(plain: Mapping[str, Any], table: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in plain.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{table}{name}.")
        else:
            flat[f"{table}{name}"] = value
    return flat


def _or_none(number: float) -> float | None:
    return None if number != number else number  # noqa: PLR0124 - NaN differs from itself


def _escaped(text: str) -> str:
    return text.replace("%", "\\%").replace("_", "\\_").replace("&", "\\&")
