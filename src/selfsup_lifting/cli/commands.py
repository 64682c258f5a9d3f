"""One function per command: read the data, do the work, print the results."""

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from functools import partial, singledispatch
from pathlib import Path

from selfsup_lifting.atomic_write import require_target
from selfsup_lifting.cli.calibrate_command import calibrate, training_data
from selfsup_lifting.cli.detect_command import detect
from selfsup_lifting.cli.first_use import alignment_compiled_meanwhile
from selfsup_lifting.cli.options import (
    AblateOptions,
    EvaluateOptions,
    ExportOptions,
    Options,
    TrainOptions,
    choose,
)
from selfsup_lifting.cli.output import frames_of, messages, part_progress, print_json, results
from selfsup_lifting.cli.parsing import default_preset
from selfsup_lifting.cli.progress import show_progress, show_several
from selfsup_lifting.cli.reading_progress import read_recordings
from selfsup_lifting.cli.saving import require_no_detections
from selfsup_lifting.cli.tables import (
    ablation_tables,
    error_table,
    evaluation_summary,
    profile_tables,
    result_table,
)
from selfsup_lifting.cli.track_commands import predict, triangulate
from selfsup_lifting.cli.view_commands import inspect, view
from selfsup_lifting.config import Config
from selfsup_lifting.config_toml import load_config, setting_values
from selfsup_lifting.evaluation.ablation import Variant, loss_steps, varied
from selfsup_lifting.evaluation.ablation import ablate as run_ablation
from selfsup_lifting.evaluation.checked_split import (
    checked_split,
    notes_on_comparison,
    notes_on_recordings,
)
from selfsup_lifting.evaluation.evaluate import (
    evaluate_lifter,
    pose_errors,
    summarize,
)
from selfsup_lifting.evaluation.held_out import held_out_scores
from selfsup_lifting.evaluation.published_tables import evaluate_for, published_dataset, split_for
from selfsup_lifting.evaluation.table_files import require_table, save_tables
from selfsup_lifting.onnx_export import export_onnx
from selfsup_lifting.read_errors import listed
from selfsup_lifting.recipes import PRESETS, RECIPES
from selfsup_lifting.recording import Recording
from selfsup_lifting.report.run_report import save_run_report
from selfsup_lifting.run_files import (
    BEST_FILE,
    WEIGHTS_FILE,
    has_commit,
    read_commit,
    require_undamaged,
)
from selfsup_lifting.training.checkpoint import learned_data, load_lifter
from selfsup_lifting.training.dataset import Frames, fingerprint
from selfsup_lifting.training.devices import training_device
from selfsup_lifting.training.distributed import (
    is_first,
    launcher,
    process_count,
    require_torchrun,
)
from selfsup_lifting.training.loop import train as train_lifter
from selfsup_lifting.training.loop import untrained_lifter
from selfsup_lifting.training.profiling import TRACE_FILE, profile_steps
from selfsup_lifting.training.run_folder import planned_run
from selfsup_lifting.training.splits import Split, learned_part
from selfsup_lifting.training.step import TrainingStep
from selfsup_lifting.training.stopping import Stopped
from selfsup_lifting.web_page.export import PAGE, export_web, require_page_folder


@singledispatch
def run(options: Options) -> None:
    """Run the command that these options belong to."""
    raise TypeError(f"expected the options of a command, got {type(options).__name__}")


@run.register
def train(options: TrainOptions) -> None:
    """Train a lifter, and evaluate it on the held-out recordings before and after."""
    require_torchrun()
    config = options.settings
    if not is_first():  # of several processes, the others compute and are silent
        split = split_for(config, training_data(options, Path()).recordings)
        train_lifter(
            config, split.training, Path(), held_out=split.held_out,
            resume=options.resume is not None,
        )  # fmt: skip
        return
    chosen = (
        planned_run(config, options.recipe)
        if options.resume is None
        else nullcontext(options.resume)
    )
    with chosen as folder:
        _train_in(folder, options)


def _train_in(folder: Path, options: TrainOptions) -> None:
    """Train in a run folder, and print the errors before and after."""
    if options.resume is not None:
        require_undamaged(folder)
    if options.profile and process_count() > 1:
        raise ValueError("`profile` needs a training in one process, got several of torchrun")
    with alignment_compiled_meanwhile():
        config, split, files = _checked_data(options, folder)
        untrained = untrained_lifter(split.training[0].skeleton, config).eval()
        scores = held_out_scores(config, split.held_out)
    before = evaluate_lifter(untrained, split.held_out)
    resume = options.resume is not None
    try:
        lifter = train_lifter(
            config, split.training, folder, held_out=split.held_out,
            resume=resume, progress=partial(_progress, folder), scores=scores,
            files=files, prepare=_profiled if options.profile else lambda *_: {},
        )  # fmt: skip
    except (KeyboardInterrupt, ValueError, OSError) as error:
        if has_commit(folder) or isinstance(error, KeyboardInterrupt):
            messages.print(_how_to_continue(folder, error))
        raise
    errors = pose_errors(lifter, split.held_out)
    after = summarize(errors)
    report = save_run_report(folder, lifter, split.training, before, errors)
    if options.json:
        print_json({"run": str(folder), "before": before.as_dict(), "after": after.as_dict()})
        return
    rows = {"untrained": before.total, "trained": after.total}
    results.print(error_table("Errors on the held-out recordings", rows))
    results.print(evaluation_summary(after))
    results.print(f"run folder: {folder}; report: {report}", soft_wrap=True)


def _checked_data(options: TrainOptions, folder: Path) -> tuple[Config, Split, Mapping[str, bytes]]:
    """Return settings, data and further files of a training; print what it begins with."""
    config, recordings, files = training_data(options, folder)
    split, _, notes, summary = checked_split(config, recordings)
    messages.print("\n".join([*notes, *_opening(options), *summary]))
    return config, split, files


def _progress(folder: Path, total: int, done: int) -> AbstractContextManager[Callable[[str], None]]:
    """Show the progress of a training, or say that it was complete before."""
    if 0 < total <= done:
        messages.print(
            f"{folder} has {done} epochs, and its settings are for {total}: nothing is left to "
            "train; --epochs with a larger number adds some"
        )
    return show_progress(total, done)


def _profiled(step: TrainingStep, dataset: Frames) -> dict[str, bytes]:
    """Print where a training step spends its time; return the trace as a file of the run."""
    found = profile_steps(step, dataset, step.config.losses)
    for table in profile_tables(found):
        messages.print(table)
    return {TRACE_FILE: found.trace}


def _how_to_continue(folder: Path, error: BaseException) -> str:
    """Describe what is saved of a training that did not end, and the command that continues it."""
    why = f"{error}; " if isinstance(error, Stopped) else ""
    if not has_commit(folder):
        return f"{why}nothing was saved"
    saved = read_commit(folder)
    step = f" and {saved.step} steps" if saved.step else ""
    name = f"./{folder}" if str(folder).startswith("-") else str(folder)
    command = shlex.join(["train", "--resume", name])
    return f"{why}{folder} holds {saved.epoch} epochs{step}; continue with: {launcher()} {command}"


def _opening(options: TrainOptions) -> Iterator[str]:
    """Describe a training in a few lines: what differs from its recipe and preset."""
    config = options.settings
    if options.resume is not None:
        yield f"continuing {options.resume}, with its settings, on {training_device(config.device)}"
        yield from _changed("changed settings", config, load_config(options.resume))
        return
    preset = options.preset or default_preset(
        "train", with_data=bool(config.data or options.config)
    )
    yield f"recipe {options.recipe}, preset {preset}, on {training_device(config.device)}"
    mine = replace(config, data=(), run=None, device=Config.device)
    yield from _changed("other settings", mine, RECIPES[options.recipe](PRESETS[preset](Config())))


def _changed(title: str, config: Config, usual: Config) -> Iterator[str]:
    """Yield a line with the settings that differ from the usual ones, if there are any."""
    before = setting_values(usual)
    differs = [
        f"{name} = {value}"
        for name, value in setting_values(config).items()
        if before[name] != value
    ]
    if differs:
        yield f"{title}: {', '.join(differs)}"


@run.register
def evaluate(options: EvaluateOptions) -> None:
    """Evaluate a run on its held-out recordings or on other data."""
    for path in options.out:
        require_table(path, overwrite=options.overwrite)
        require_no_detections(path)
    weights = choose({"last": WEIGHTS_FILE, "best": BEST_FILE}, options.weights, "weights")
    lifter, config = load_lifter(options.run / weights), load_config(options.run)
    recordings, notes = _evaluated(options, config)
    for sentence in notes:
        messages.print(sentence)
    parts = sum(recording.part_count for recording in recordings)
    with part_progress(parts, "part") as done:
        evaluation, tables = evaluate_for(
            lifter, recordings, config, refine=options.refine, done=done
        )
    if not evaluation.total.poses:
        names = listed(recording.name for recording in recordings)
        raise ValueError(
            f"no pose of {names} can be compared: expected a ground truth, or a person whose "
            "joints, also the root, two cameras see"
        )
    for path in options.out:
        save_tables(path, evaluation, tables)
        messages.print(f"wrote {path}")
    if options.json:
        print_json(evaluation.as_dict())
        return
    for table in tables:
        results.print(result_table(table), *table.notes, sep="\n")
    results.print(evaluation_summary(evaluation))


def _evaluated(options: EvaluateOptions, config: Config) -> tuple[list[Recording], list[str]]:
    """Return the recordings of an evaluation, and what is doubtful about them."""
    recordings = read_recordings(options.data or config.data, options.read, config.read)
    if options.data:
        notes = _note_on_learned(options, config, recordings)
    else:
        split = split_for(config, recordings)
        notes = _note_on_changed(options.run, config, split.training)
        recordings = split.held_out
    chosen = [frames_of(recording, options.frames) for recording in recordings]
    return chosen, [*notes, *notes_on_recordings(chosen), *notes_on_comparison(chosen)]


def _note_on_changed(folder: Path, config: Config, training: Sequence[Recording]) -> Iterator[str]:
    """Say if what is left for training is not what a run learned from."""
    learned = fingerprint(learned_part(config, training).training)
    if learned_data(folder) not in {"", learned}:
        yield (
            f"{folder}: its data, or how they are read, are others than those that it learned "
            "from; what is evaluated as held out may have been learned in part"
        )


def _note_on_learned(
    options: EvaluateOptions, config: Config, recordings: Sequence[Recording]
) -> Iterator[str]:
    """Say if a run is evaluated on what it learned from; a published dataset has a test set."""
    learned = {*map(_place, config.data or ["synthetic"])} & {*map(_place, options.data)}
    if learned and published_dataset(recordings) is None:
        yield (
            f"{options.run} learned from {listed(sorted(learned))}, at least in part: errors are "
            "smaller there; without --data, what was held out is evaluated"
        )


def _place(source: str) -> str:
    """Return the path of a source of data in one form, also of `kind:path`."""
    path = source if Path(source).exists() else source.partition(":")[2] or source
    return str(Path(path).resolve()) if Path(path).exists() else source


@run.register
def export(options: ExportOptions) -> None:
    """Write a trained network for other programs, and say how far it is from PyTorch."""
    writers = {"onnx": (options.onnx, export_onnx), "web": (options.web, export_web)}
    wanted = {name: (path, write) for name, (path, write) in writers.items() if path is not None}
    if not wanted:
        raise ValueError("`export` needs something to write: --onnx model.onnx or --web page/")
    _require_model_file(options)
    for name, (path, _) in wanted.items():
        require = require_page_folder if name == "web" else require_target
        require(path, overwrite=options.overwrite)
    lifter, report = load_lifter(options.run), {}
    for name, (path, write) in wanted.items():
        difference = write(lifter, path)
        report[name] = {"path": str(path), "largest_difference_m": difference}
        written = path / PAGE if name == "web" else path
        messages.print(
            f"wrote {written}; it differs from PyTorch by at most {1e6 * difference:.1f} "
            "micrometers on 1,000 drawn poses"
        )
    if options.json:
        print_json(report)


def _require_model_file(options: ExportOptions) -> None:
    if options.onnx is not None and options.onnx.suffix != ".onnx":
        raise ValueError(
            f"{options.onnx}: a model is written as .onnx, not {options.onnx.suffix!r}"
        )


@run.register
def ablate(options: AblateOptions) -> None:
    """Train with the losses added one by one, or with several values of a setting."""
    config = replace(options.settings, run=None)
    variants = loss_steps(config) if options.vary is None else varied(config, options.vary)
    folder = options.settings.run or Path("runs") / "ablation"
    for note in notes_on_duration(variants):
        messages.print(f"warning: {note}")
    jobs = None if options.jobs == "auto" else options.jobs
    try:
        with show_several() as show:
            rows = run_ablation(
                variants, options.seeds, folder, jobs=jobs, report=messages.print, show=show
            )
    except KeyboardInterrupt as stopped:
        why = str(stopped) or "stopped by SIGINT"
        messages.print(f"{why}; the same command continues the ablation in {folder}")
        raise
    if options.json:
        print_json({"run": str(folder), "rows": [vars(row) for row in rows]})
        return
    for table in ablation_tables(rows):
        results.print(table)


def notes_on_duration(variants: Sequence[Variant]) -> Iterator[str]:
    """Say which variants train for epochs while others train for steps."""
    by_steps = [one for one in variants if one.config.epochs is None]
    for one in variants if by_steps else ():
        if one.config.epochs is not None:
            yield (
                f"`steps` has no effect in {one.name}, which trains for {one.config.epochs} "
                f"epochs; {listed(other.name for other in by_steps)}: "
                f"{by_steps[0].config.steps} steps"
            )


for _command in (predict, triangulate, view, inspect, calibrate, detect):
    run.register(_command)
