"""The result tables of published datasets, beside the numbers of the paper."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import nan
from typing import Any

from selfsup_lifting.config import Config
from selfsup_lifting.config_toml import as_plain
from selfsup_lifting.evaluation.evaluate import (
    Errors,
    Evaluation,
    PoseErrors,
    coverage_sentence,
    pose_errors,
    summarize,
)
from selfsup_lifting.evaluation.metrics import PCK_THRESHOLD
from selfsup_lifting.evaluation.subject_size import PCK_SHARE
from selfsup_lifting.evaluation.table_files import ResultTable
from selfsup_lifting.recipes import RECIPES
from selfsup_lifting.recording import Recording
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.splits import Split, hold_out

PAPER = "Bouazizi et al. 2021"
ACTIONS = (
    "Directions", "Discussion", "Eating", "Greeting", "Phoning", "Photo", "Posing", "Purchases",
    "Sitting", "SittingDown", "Smoking", "Waiting", "WalkDog", "Walking", "WalkTogether",
)  # fmt: skip
# The 14 joints counted by MPI-INF-3DHP's script; a skeleton without a neck uses its thorax.
COUNTED = (
    "head_top", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder",
    "left_elbow", "left_wrist", "right_hip", "right_knee", "right_ankle", "left_hip",
    "left_knee", "left_ankle",
)  # fmt: skip
# Settings of the machine and the files, which do not change what is learned.
LOCAL_SETTINGS = frozenset({"data", "run", "device", "seed", "overwrite", "read.cameras"})


@dataclass(frozen=True)
class PublishedDataset:
    """How a published dataset is evaluated.

    Attributes:
        name: Its name.
        recipe: The recipe with the paper's settings; empty if the paper trains on other data.
        subjects: The subjects of the test set.
        actions: The actions of the test set; empty for all.
        required_actions: The actions that a full evaluation has.
        make_tables: Makes its tables from the errors of all poses.
    """

    name: str
    recipe: str
    subjects: tuple[str, ...]
    actions: tuple[str, ...]
    required_actions: tuple[str, ...]
    make_tables: Callable[[Evaluation, Sequence[PoseErrors]], list[ResultTable]]


def human36m_tables(evaluation: Evaluation, _: Sequence[PoseErrors]) -> list[ResultTable]:
    """Make Tables I and II: Human3.6M, in total and by action."""
    measures = {"P-MPJPE": "p_mpjpe_mm", "MPJPE": "mpjpe_mm", "N-MPJPE": "n_mpjpe_mm"}
    rows = []
    for name, measure in measures.items():
        values = [_value(evaluation.per_action.get(action), measure) for action in ACTIONS]
        means = (getattr(evaluation.action_mean, measure), getattr(evaluation.total, measure))
        rows.append((f"this run, {name}", (*values, *means)))
    rows.append((f"{PAPER}, P-MPJPE", (*(nan,) * (len(ACTIONS) + 1), 62.0)))
    total = ResultTable(
        title="Human3.6M, P-MPJPE over all poses [mm] (Table I)",
        columns=("P-MPJPE",),
        rows=(
            ("EpipolarPose (Kocabas et al. 2019)", (67.5,)),
            (PAPER, (62.0,)),
            ("this run", (evaluation.total.p_mpjpe_mm,)),
        ),
    )
    by_action = ResultTable(
        title="Human3.6M by action [mm] (Table II)",
        columns=(*ACTIONS, "mean of actions", "mean of frames"),
        rows=tuple(rows),
        notes=(
            "the paper's 62.0 is assumed to be a mean over frames: its code has no other mean",
            "the paper's errors of single actions are not available here and left blank",
        ),
    )
    return [total, by_action]


def humaneva_tables(evaluation: Evaluation, _: Sequence[PoseErrors]) -> list[ResultTable]:
    """Make Table III: HumanEva, by action and subject."""
    cells = [(action, subject) for action in ("Walking", "Jog") for subject in ("S1", "S2", "S3")]
    found = evaluation.per_subject_and_action
    rows = []
    for name, measure in {"P-MPJPE": "p_mpjpe_mm", "MPJPE": "mpjpe_mm"}.items():
        values = [
            _value(found.get(f"Validate/{subject} {action}"), measure) for action, subject in cells
        ]
        means = (sum(values) / len(values), getattr(evaluation.total, measure))
        rows.append((f"this run, {name}", (*values, *means)))
    rows.append((f"{PAPER}, P-MPJPE", (*(nan,) * len(cells), 58.9, nan)))
    table = ResultTable(
        title="HumanEva by action [mm] (Table III)",
        columns=(*(" ".join(cell) for cell in cells), "mean", "mean of frames"),
        rows=tuple(rows),
        notes=(
            "the paper uses Stacked Hourglass detections; it does not state how 16 joints become "
            "15",
            "the paper's errors of single subjects and actions are not available here",
        ),
    )
    return [table]


def mpi_inf_3dhp_tables(evaluation: Evaluation, errors: Sequence[PoseErrors]) -> list[ResultTable]:
    """Make Table V: MPI-INF-3DHP, in total, by sequence and by activity."""
    counted = summarize(errors, _counted_joints(evaluation.joint_names))
    columns = ("PCK [%]", "AUC [%]", "MPJPE [mm]")
    many, few = len(evaluation.counted), len(counted.counted)
    total = ResultTable(
        title="MPI-INF-3DHP (Table V)",
        columns=columns,
        rows=(
            (f"this run, {few} joints", _pck_auc_error(counted.total, "")),
            (f"this run, {few} joints, aligned", _pck_auc_error(counted.total, "p_")),
            (f"this run, {many} joints", _pck_auc_error(evaluation.total, "")),
            (f"this run, {many} joints, aligned", _pck_auc_error(evaluation.total, "p_")),
            (f"{PAPER}, trained on Human3.6M", (65.9, 32.5, nan)),
        ),
        notes=(
            "joints strictly closer than 150 mm; AUC over 0, 5, ... 150 mm, at most 96.77",
            f"the {few} counted joints: {', '.join(counted.counted)}",
            "MPJPE is over all joints; aligned: after the best similarity transform of each pose",
            "the paper does not state which joints, which ground truth, or whether aligned",
        ),
    )
    parts = {**counted.per_subject, **counted.per_action}
    rows = tuple((name, _pck_auc_error(errors, "")) for name, errors in parts.items())
    return [total, ResultTable("MPI-INF-3DHP by sequence and activity", columns, rows)]


_VALIDATE = ("Validate/S1", "Validate/S2", "Validate/S3")
_WALK_AND_JOG = ("Walking", "Jog")
DATASETS: Mapping[str, PublishedDataset] = {
    "human36m": PublishedDataset(
        "Human3.6M", "paper-h36m", ("S9", "S11"), (), ACTIONS, human36m_tables
    ),
    "humaneva": PublishedDataset(
        "HumanEva", "paper-humaneva", _VALIDATE, _WALK_AND_JOG, _WALK_AND_JOG, humaneva_tables
    ),
    "mpi_inf_3dhp": PublishedDataset(
        "MPI-INF-3DHP", "", tuple(f"TS{n}" for n in range(1, 7)), (), (), mpi_inf_3dhp_tables
    ),
}


def published_dataset(recordings: Sequence[Recording]) -> PublishedDataset | None:
    """Return the published dataset that all recordings belong to, if there is one."""
    names = {recording.source.dataset for recording in recordings}
    return DATASETS.get(names.pop() or "") if len(names) == 1 else None


def split_for(config: Config, recordings: Sequence[Recording]) -> Split:
    """Hold out what the settings name, else a dataset's test subjects, else as `hold_out`."""
    dataset = published_dataset(recordings)
    present = {recording.subject for recording in recordings}
    test = () if dataset is None else tuple(sorted(present & set(dataset.subjects)))
    return hold_out(recordings, config.hold_out or (test if set(test) < present else ()))


def recordings_of_test(
    dataset: PublishedDataset, recordings: Sequence[Recording]
) -> list[Recording]:
    """Return the recordings of a dataset's test set; all of them if none belongs to it."""
    chosen = [
        one
        for one in recordings
        if one.subject in dataset.subjects and one.action in (dataset.actions or (one.action,))
    ]
    return chosen or list(recordings)


def evaluate_for(
    lifter: Lifter,
    recordings: Sequence[Recording],
    config: Config,
    *,
    refine: bool = False,
    done: Callable[[], None] = lambda: None,
) -> tuple[Evaluation, list[ResultTable]]:
    """Evaluate as the published dataset of the recordings prescribes, if they are of one.

    Args:
        lifter: A trained network in evaluation mode.
        recordings: The data; of a published dataset only its test set is used.
        config: The settings that the network was trained with.
        refine: Whether to refine the poses by their pixels, and to smooth them over time.
        done: As in `evaluate_lifter`.

    Returns:
        The evaluation over all joints, and its tables. For a published dataset the notes of the
        first table state every difference from the published evaluation.
    """
    dataset = published_dataset(recordings)
    if dataset is None:
        evaluation = summarize(pose_errors(lifter, recordings, refine=refine, done=done))
        return evaluation, [table_by_group(evaluation)]
    errors = pose_errors(lifter, recordings_of_test(dataset, recordings), refine=refine, done=done)
    evaluation = summarize(errors)
    first, *others = dataset.make_tables(evaluation, errors)
    refined = ("poses refined by their pixels and bones; the published ones are not",)
    differences = _differences(dataset, evaluation, config)
    notes = (*first.notes, *differences, *refined[: int(refine)])
    return evaluation, [replace(first, notes=notes), *others]


def table_by_group(evaluation: Evaluation) -> ResultTable:
    """Make the table of other data: by action, subject and camera."""
    columns = {
        "P-MPJPE [mm]": ("p_mpjpe_mm", 1.0), "MPJPE [mm]": ("mpjpe_mm", 1.0),
        "N-MPJPE [mm]": ("n_mpjpe_mm", 1.0), "velocity [mm/frame]": ("velocity_mm", 1.0),
        "PCK [%]": ("pck", 100.0), "AUC [%]": ("auc", 100.0),
    }  # fmt: skip
    if coverage_sentence(evaluation):
        columns["in ellipsoid [%]"] = ("coverage", 100.0)
    parts: dict[str, Errors] = dict(evaluation.per_action)
    for kind, groups in (("subject", evaluation.per_subject), ("camera", evaluation.per_camera)):
        parts |= {f"{kind} {name}": one for name, one in groups.items() if len(groups) > 1}
    parts |= {"mean of actions": evaluation.action_mean, "mean of frames": evaluation.total}
    rows = tuple(
        (name, tuple(scale * getattr(errors, measure) for measure, scale in columns.values()))
        for name, errors in parts.items()
    )
    note = f"{evaluation.joints} joints: {', '.join(evaluation.joint_names)}"
    title = f"Single-view predictions, PCK {_pck_rule(evaluation)}"
    return ResultTable(title, tuple(columns), rows, (note,))


def _pck_rule(evaluation: Evaluation) -> str:
    """Say below which error a joint is correct, and what the error was derived from."""
    low, high = evaluation.pck_threshold_mm
    below = f"below {low:.3g}" + ("" if low == high else f" to {high:.3g}") + " mm"
    if low == high == PCK_THRESHOLD:
        return below
    return f"{below} ({PCK_SHARE:.0%} of the subject's largest distance between joints)"


def _value(errors: Errors | None, measure: str) -> float:
    return nan if errors is None else float(getattr(errors, measure))


def _pck_auc_error(errors: Errors, prefix: str) -> tuple[float, ...]:
    """Return PCK and AUC in percent, and MPJPE or P-MPJPE."""
    shares = (100 * _value(errors, f"{prefix}{name}") for name in ("pck", "auc"))
    return (*shares, _value(errors, f"{prefix}mpjpe_mm"))


def _counted_joints(joints: Sequence[str]) -> tuple[str, ...]:
    """Return the counted joints of a skeleton, its thorax in place of a missing neck."""
    names = ("thorax" if name == "neck" and name not in joints else name for name in COUNTED)
    return tuple(name for name in names if name in joints)


def _differences(dataset: PublishedDataset, evaluation: Evaluation, config: Config) -> list[str]:
    """Describe the evaluation, and how it differs from the published one."""
    subjects = tuple(evaluation.per_subject)
    joints = f"{evaluation.joints} joints: {', '.join(evaluation.joint_names)}"
    rate = " to ".join(f"{one:g}" for one in dict.fromkeys(evaluation.fps))
    notes = [f"{evaluation.frames} frames at {rate} per second, {joints}"]
    if evaluation.reference != "truth":
        notes.append("DIFFERS: without ground truth, compared with the triangulation of all views")
    if set(subjects) != set(dataset.subjects):
        expected = ", ".join(dataset.subjects)
        notes.append(f"DIFFERS: tested on {', '.join(subjects)}; the test set is {expected}")
    missing = sorted(set(dataset.required_actions) - set(evaluation.per_action))
    if missing:
        notes.append(f"DIFFERS: without {', '.join(missing)}")
    if dataset.recipe:
        notes += _other_settings(dataset, config)
    return notes


def _other_settings(dataset: PublishedDataset, config: Config) -> list[str]:
    paper = _flat(as_plain(RECIPES[dataset.recipe](Config())))
    ours = _flat(as_plain(config))
    return [
        f"DIFFERS: trained with {name} = {ours.get(name)} (the paper's recipe: {paper.get(name)})"
        for name in sorted((set(paper) | set(ours)) - LOCAL_SETTINGS)
        if ours.get(name) != paper.get(name)
    ]


def _flat(plain: Mapping[str, Any], table: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in plain.items():
        nested = isinstance(value, dict)
        flat |= _flat(value, f"{table}{name}.") if nested else {f"{table}{name}": value}
    return flat
