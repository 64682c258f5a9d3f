"""The training loop, on one page."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType

import torch

from selfsup_lifting.config import Config
from selfsup_lifting.recording import Recording, as_path, require_kind
from selfsup_lifting.run_files import STATE_FILE
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.training.checkpoint import State, naming_damaged_file, restore_random_state
from selfsup_lifting.training.dataset import (
    Frames,
    batch_count,
    build_dataset,
    common_skeleton,
    fingerprint,
)
from selfsup_lifting.training.devices import training_device
from selfsup_lifting.training.distributed import (
    ALL_SEEDS,
    is_first,
    joined_processes,
    own_device,
    own_part,
    own_seed,
    own_share,
    process_count,
    require_torchrun,
    start_alike,
)
from selfsup_lifting.training.equal_bones import with_equal_bones
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.model_selection import ModelSelection
from selfsup_lifting.training.run_folder import opened_run
from selfsup_lifting.training.run_lock import only_training
from selfsup_lifting.training.run_log import DivergedError, Progress, RunLog, no_progress
from selfsup_lifting.training.saving import Checkpoints, require_further_files
from selfsup_lifting.training.splits import first_cameras, hold_out
from selfsup_lifting.training.step import TrainingStep, adam
from selfsup_lifting.training.stopping import stop_requests
from selfsup_lifting.training.synced_batchnorm import with_synced_batchnorm
from selfsup_lifting.training.uncertainty import EllipsoidSize
from selfsup_lifting.training.virtual_cameras import VirtualCameras, virtual_cameras

_log = logging.getLogger(__name__)

# Every epoch of every run has its own random numbers, so a resumed run equals an unbroken one.
EPOCH_SEEDS = 1_000_003


@torch.inference_mode(mode=False)
@torch.enable_grad()
@only_training()
def train(  # noqa: PLR0913 - what to learn from, where to save, and what to show
    config: Config,
    recordings: Sequence[Recording],
    run: Path | str,
    *,
    held_out: Sequence[Recording] = (),
    resume: bool = False,
    progress: Progress = no_progress,
    scores: Callable[[Lifter], Mapping[str, float]] = lambda _: {},
    files: Mapping[str, bytes] = MappingProxyType({}),
    prepare: Callable[[TrainingStep, Frames], Mapping[str, bytes]] = lambda *_: {},
) -> Lifter:
    """Train a lifter from multi-view 2D tracks, and save a checkpoint of it.

    Args:
        config: Every setting of the run. The commands alone use `data`, `read`, `run`, `overwrite`
            and `most_disagreement`.
        recordings: The training data, less those that `config.hold_out` names; without names, all
            are learned from. Their ground truth is used only if `config.losses.labels` asks for it.
        run: The folder for checkpoint, metrics and curves. It is created once the recordings are
            known to be usable; an older run there is replaced by the first checkpoint.
        held_out: Recordings that are left out already, which `config.hold_out` may name.
        resume: Whether to continue from the checkpoint in that folder.
        progress: Shows the progress; by default nothing is shown.
        scores: Called with the network after every epoch; the metrics and curves contain the
            numbers that it returns, under names of their own.
        files: Other files that belong to the run, by name: saved with its first checkpoint.
        prepare: Called before the first step, with the step and the training data; returns further
            files of the run.

    Returns:
        The trained network, in evaluation mode.

    Raises:
        Stopped: After SIGINT (Ctrl-C), SIGTERM or SIGHUP, once the last step is saved.
        ValueError: If the recordings are unusable, `config.hold_out` names none of them, the
            training diverges, the device does not exist, the checkpoint to resume is damaged or of
            another network, another process writes to the run folder, another thread trains, or
            what `scores`, `files` or `prepare` give has names that the run uses itself, is no
            number or no bytes, or would be outside of the run folder.
        OSError: If a checkpoint cannot be written; the one before stays valid.

    Example:
        >>> import tempfile
        >>> from selfsup_lifting import ReadSettings, read_recordings
        >>> from selfsup_lifting.config import LifterSettings
        >>> recordings = read_recordings(["synthetic"], ReadSettings(fps=10.0))[:1]
        >>> tiny = Config(epochs=1, lifter=LifterSettings(width=8, blocks=1))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     lifter = train(tiny, recordings, Path(folder) / "run")
        >>> len(lifter.skeleton.joints)
        17
    """
    require_torchrun()
    require_kind("config", config, Config)
    require_kind("recordings", recordings, Sequence)
    require_kind("held_out", held_out, Sequence)
    for one in (*recordings, *held_out):
        require_kind("recordings", one, Recording)
    require_kind("resume", resume, bool)
    for name, value in {"progress": progress, "scores": scores, "prepare": prepare}.items():
        require_kind(name, value, Callable)  # type: ignore[arg-type]
    require_further_files("files", files)
    if config.hold_out:
        recordings = hold_out(recordings, config.hold_out, others=held_out).training
    device, run = own_device(training_device(config.device)), as_path("run", run)
    selection = ModelSelection(config, first_cameras(recordings, config.cameras_learned), device)
    ellipsoids = EllipsoidSize(config, selection.training, device)
    recordings = ellipsoids.training
    dataset = build_dataset(recordings, config.losses.labels, config.triangulation)
    _warn_of_unused_frames(dataset, recordings)
    if config.losses.equal_bones:
        subjects = [one.subject for one in recordings]
        dataset = with_equal_bones(dataset, subjects, common_skeleton(recordings))
    _require_batches(config, dataset)
    cameras = _virtual_cameras(config, dataset, recordings, device)
    dataset = dataset.to(device)
    lifter = untrained_lifter(common_skeleton(recordings), config).to(device).train()
    ellipsoids.set_unit(lifter, dataset)
    if config.sync_batchnorm and process_count() > 1:
        with_synced_batchnorm(lifter)
    optimizer = adam(lifter, config)
    with (
        opened_run(run, resume=resume) as folder,
        joined_processes(device),
        stop_requests() as stop_request,
        closing(RunLog(folder.folder)) as log,
    ):
        checkpoints = Checkpoints(
            folder, config, lifter, optimizer, selection, log, stop_request, files,
            data=fingerprint(recordings),
        )  # fmt: skip
        state = checkpoints.restore() if resume else None
        start_alike(lifter)
        epochs = epoch_count(config, len(dataset))
        _warn_of_unused_loss(config, epochs)
        step = TrainingStep(lifter, optimizer, config, cameras)
        step.compile(dataset.select(dataset.batches(config.frames_per_batch, None)[0]))
        further = prepare(step, dataset)
        require_further_files("prepare", further)
        checkpoints.files = {**files, **further}
        with progress(epochs, log.done) as show, _naming_frames(dataset, config, log, recordings):
            while log.done < epochs:
                _run_epoch(step, dataset, epochs, checkpoints, state)
                size = ellipsoids.fit(lifter)
                line = log.epoch({**size, **selection.score(lifter)}, scores(lifter))
                checkpoints.step_done(0)
                show(line)
                state = None
            if state is None:
                checkpoints.save()
    return lifter.eval()


def _run_epoch(
    step: TrainingStep,
    dataset: Frames,
    epochs: int,
    checkpoints: Checkpoints,
    resumed: State | None,
) -> None:
    """Train one epoch, or the rest of one that was interrupted."""
    config, log = checkpoints.config, checkpoints.log
    losses = config.losses.at(log.done / epochs)
    seed = epoch_seed(config, log.done)
    torch.manual_seed(own_seed(seed))
    first = resumed.step if resumed is not None else 0
    if resumed is not None and first > 0:
        with naming_damaged_file(checkpoints.run.folder / STATE_FILE):
            restore_random_state(own_part(resumed.random), dataset.image.device)
    for group in checkpoints.optimizer.param_groups:
        group["lr"] = config.learning_rate_at(log.done / epochs)
    batches = dataset.batches(config.frames_per_batch, seed if config.shuffle else None)
    for place, chosen in enumerate(batches[first:], start=first + 1):
        evaluated = step.evaluate(dataset.select(own_share(chosen)), losses)
        log.step(evaluated.terms, partial(step.gradient_shares, evaluated, losses))
        step.update(evaluated, losses)
        if place < len(batches):
            checkpoints.step_done(place)


def _warn_of_unused_frames(dataset: Frames, recordings: Sequence[Recording]) -> None:
    frames, skeleton = sum(one.frame_count for one in recordings), common_skeleton(recordings)
    if len(dataset) < frames and is_first():
        _log.warning(
            "%d of %d frames are not learned from: their root (%s) has no label, or no camera sees "
            "it and half of the joints", frames - len(dataset), frames,
            " and ".join(skeleton.joints[joint] for joint in skeleton.root),
        )  # fmt: skip


def _warn_of_unused_loss(config: Config, epochs: int) -> None:
    """Say if L_out is never used, because there are few epochs and it is used in the last ones."""
    used = any(config.losses.at(epoch / epochs).output > 0 for epoch in range(epochs))
    if config.losses.output > 0 and not used and is_first():
        _log.warning(
            "L_out is never used: of %d epochs, none is in the last `losses.output_share` %g of "
            "the training", epochs, config.losses.output_share,
        )  # fmt: skip


def _require_batches(config: Config, dataset: Frames) -> None:
    """Refuse batches of one pose, of which batch normalization has no deviation."""
    smallest = len(dataset) // batch_count(len(dataset), config.frames_per_batch)
    views = 1 if config.per_view_batchnorm else dataset.image.shape[1]
    if smallest * views < 2:  # noqa: PLR2004 - to have a deviation
        raise ValueError(
            f"batch normalization needs two poses in a batch, got batches of one frame (of "
            f"{len(dataset)}): raise `frames_per_batch`, or leave out `per_view_batchnorm`"
        )


def epoch_seed(config: Config, epoch: int) -> int:
    """Return the random seed of an epoch, given the number of epochs before it."""
    return (config.seed * EPOCH_SEEDS + epoch) % ALL_SEEDS


@contextmanager
def _naming_frames(
    dataset: Frames, config: Config, log: RunLog, recordings: Sequence[Recording]
) -> Iterator[None]:
    """Add to the error of a training that has diverged which frames its batch had."""
    try:
        yield
    except DivergedError as error:
        seed = epoch_seed(config, log.done) if config.shuffle else None
        chosen = dataset.batches(config.frames_per_batch, seed)[error.step]
        names = dataset.describe(chosen, [one.name for one in recordings])
        raise ValueError(
            f"{error}; its batch has {names}; likely causes: a `learning_rate` that is too high, "
            "or detections or cameras that are far off"
        ) from None


def _virtual_cameras(
    config: Config, dataset: Frames, recordings: Sequence[Recording], device: str
) -> VirtualCameras | None:
    if config.augmentation.virtual_share == 0:
        return None
    skeleton = common_skeleton(recordings)
    return virtual_cameras(dataset, recordings, skeleton, config.losses.labels).to(device)


def untrained_lifter(skeleton: Skeleton, config: Config) -> Lifter:
    """Build the network that a training with these settings starts from, on the CPU."""
    torch.manual_seed(config.seed)
    return Lifter(skeleton, config.lifter)


def epoch_count(config: Config, frames: int) -> int:
    """Return the number of epochs: as set, or as many as the steps need."""
    return config.epochs or -(-config.steps // batch_count(frames, config.frames_per_batch))
