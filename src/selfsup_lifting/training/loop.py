"""The loop, on one page."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from time import monotonic

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from selfsup_lifting.config import Config, LossSettings
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.training.augmentation import augmented, shown
from selfsup_lifting.training.checkpoint import load_state, save_checkpoint
from selfsup_lifting.training.dataset import (
    Frames,
    batch_count,
    build_dataset,
    centred_image,
    common_skeleton,
    usable_views,
)
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.losses import (
    consistency_loss,
    input_triangulation_loss,
    output_triangulation_loss,
    projection_loss,
    turns_of,
)
from selfsup_lifting.training.model_selection import Selection
from selfsup_lifting.training.run_folder import new_run, require_device
from selfsup_lifting.training.run_log import RunLog

Terms = Mapping[str, Float[Tensor, ""]]

# A crash costs at most this much work [s].
SAVE_EVERY = 60.0

# Every epoch of every run has random numbers of its own, so a resumed run goes on as if unbroken.
EPOCH_SEEDS, ALL_SEEDS = 1_000_003, 2**63


def train(
    config: Config, recordings: Sequence[Recording], run: Path, *, resume: bool = False
) -> Lifter:
    """Train a lifter from multi-view 2D tracks, and keep a checkpoint of it.

    Args:
        config: Every setting of the run.
        recordings: What to learn from. Their truth is looked at only where
            `config.losses.labels` asks for it.
        run: The folder for checkpoint, metrics and curves; created once the recordings are known
            to be good. An older run there is lost only once there is a checkpoint of this one.
        resume: Whether to go on from the checkpoint that lies there.

    Returns:
        The trained network, in evaluation mode. An interrupted training saves what it has if an
        epoch is done; the interrupted epoch is begun again when it is resumed.

    Raises:
        ValueError: If nothing can be learned from the recordings, the training diverges, the
            device is not there, or what is to be resumed is damaged or of another network.
    """
    require_device(config.device)
    selection = Selection(config, with_cameras(recordings, config.cameras_learned), run)
    recordings = selection.learned
    dataset = build_dataset(recordings, config.losses.labels, config.triangulation)
    dataset = dataset.to(config.device)
    epochs = epoch_count(config, len(dataset))
    skeleton = common_skeleton(recordings)
    lifter = untrained_lifter(skeleton, config).to(config.device).train()
    optimizer = torch.optim.Adam(lifter.parameters(), lr=config.learning_rate)
    done = load_state(run, lifter, optimizer) if resume else 0
    with nullcontext() if resume else new_run(run, config):
        saved = monotonic()
        try:
            with RunLog(run, epochs=epochs, done=done) as log:
                for epoch in range(done, epochs):
                    losses = config.losses.at(epoch / epochs)
                    seed = (config.seed * EPOCH_SEEDS + epoch) % ALL_SEEDS
                    torch.manual_seed(seed)
                    for group in optimizer.param_groups:
                        group["lr"] = config.learning_rate_at(epoch / epochs)
                    for frames in _batches(dataset, config, seed):
                        batch = augmented(frames, skeleton, config.augmentation)
                        seen = shown(batch, config.augmentation)
                        poses = lift_views(lifter, batch, seen, apart=config.views_apart)
                        terms = loss_terms(poses, batch, skeleton, losses)
                        log.step(terms, partial(gradient_shares, poses, terms, losses.weights))
                        optimizer.zero_grad(set_to_none=True)
                        weighted_sum(terms, losses.weights).backward()
                        if config.adam_forgets:
                            optimizer.state.clear()
                        optimizer.step()
                    log.epoch(selection.judge(lifter))
                    done = epoch + 1
                    if monotonic() - saved > SAVE_EVERY:
                        save_checkpoint(run, lifter, optimizer, config, done)
                        saved = monotonic()
        except KeyboardInterrupt:
            if done:
                save_checkpoint(run, lifter, optimizer, config, done)
            raise
        save_checkpoint(run, lifter, optimizer, config, done)
    return lifter.eval()


def _batches(dataset: Frames, config: Config, seed: int) -> Iterator[Frames]:
    if config.shuffle:
        return dataset.shuffled_batches(config.frames_per_batch, seed)
    return dataset.ordered_batches(config.frames_per_batch)


def lift_views(
    lifter: Lifter, batch: Frames, seen: Bool[Tensor, "frames views joints"], *, apart: bool
) -> Float[Tensor, "frames views joints 3"]:
    """Lift every view of a batch: all at once, or one after the other.

    Args:
        lifter: The network; in training its normalisation looks at what comes at once.
        batch: The frames.
        seen: Which keypoints it is shown.
        apart: Whether each view comes by itself.

    Returns:
        Each view's prediction, in its own axes [m].
    """
    if not apart:
        return lifter(batch.image, seen, batch.confidence)  # type: ignore[no-any-return]
    views = zip(
        *(numbers.unbind(dim=1) for numbers in (batch.image, seen, batch.confidence)), strict=True
    )
    return torch.stack([lifter(*view) for view in views], dim=1)


def with_cameras(recordings: Sequence[Recording], count: int | None) -> list[Recording]:
    """Return what the first cameras of each take saw; all of them where no number is given."""
    return [
        take if count is None else take.select_views(take.cameras.names[:count])
        for take in recordings
    ]


def untrained_lifter(skeleton: Skeleton, config: Config) -> Lifter:
    """Build the network that a training of these settings starts from, on the CPU."""
    torch.manual_seed(config.seed)
    return Lifter(skeleton, config.lifter)


def epoch_count(config: Config, frames: int) -> int:
    """Tell how many epochs there are: as set, or as many as the steps need."""
    return config.epochs or -(-config.steps // batch_count(frames, config.frames_per_batch))


def loss_terms(
    poses: Float[Tensor, "frames views joints 3"],
    batch: Frames,
    skeleton: Skeleton,
    settings: LossSettings,
) -> dict[str, Float[Tensor, ""]]:
    """Evaluate each loss that has a weight, before weighting."""
    root, usable = skeleton.root, usable_views(batch, skeleton.root)
    turns = turns_of(batch.camera_from_root)
    losses = {
        "L_in": lambda: input_triangulation_loss(
            poses,
            batch.labels,
            turns,
            usable[..., None] & batch.labelled[:, None],
            settings.input_norm,
        ),
        "L_proj": lambda: projection_loss(
            poses,
            centred_image(batch, root),
            batch.camera_from_root,
            usable[:, :, None, None] & (usable[..., None] & batch.seen)[:, None],
            root=root,
        ),
        "L_con": lambda: consistency_loss(
            poses,
            turns,
            usable,
            labels=batch.labels if settings.consistency_with_labels else None,
            labelled=batch.labelled,
            detach_targets=settings.detach_targets,
        ),
        "L_out": lambda: output_triangulation_loss(
            poses,
            batch.camera_from_root,
            usable,
            root=root,
            norm=settings.input_norm,
            detach_targets=settings.detach_targets,
        ),
    }
    if settings.output_of_detections:
        losses["L_out"] = losses["L_in"]
    return {name: losses[name]() for name in settings.weights}


def weighted_sum(terms: Terms, weights: Mapping[str, float]) -> Float[Tensor, ""]:
    """Add up the losses (Bouazizi et al., FG 2021, eq. 1)."""
    return torch.stack([weights[name] * term for name, term in terms.items()]).sum()


def gradient_shares(
    poses: Float[Tensor, "frames views joints 3"], terms: Terms, weights: Mapping[str, float]
) -> dict[str, float]:
    """Tell how much of the gradient at the network's output comes from each weighted loss."""
    sizes = {
        name: weights[name] * torch.autograd.grad(term, poses, retain_graph=True)[0].norm().item()
        for name, term in terms.items()
    }
    whole = sum(sizes.values()) or 1.0
    return {name: size / whole for name, size in sizes.items()}
