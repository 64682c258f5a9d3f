"""What was tried for the recipe `robust`, and is not in it, because it does not pay?

Each trial is a training of the recipe with one change that has no setting. It is trained and judged
as in `recipes.py`, whose file format it uses too; the row without a trial is the recipe as it is.

    python benchmarks/trials.py --data mocap:../shared/data/mocap-bvh --preset small --seeds 3 \
        --out runs/trials.jsonl
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch
from jaxtyping import Bool, Float, Int
from recipes import Clips, divided, judged, settings
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

from multiview_geom import point_covariance
from selfsup_lifting.config import Config
from selfsup_lifting.recipes import PRESETS
from selfsup_lifting.recording import Recording
from selfsup_lifting.run_files import has_commit
from selfsup_lifting.skeleton.skeletons import Skeleton
from selfsup_lifting.training import augmentation, loop, step
from selfsup_lifting.training.dataset import Frames, build_dataset
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.losses import masked_mean, rotated_to_views
from selfsup_lifting.training.objective import counted_joints, lift_views
from selfsup_lifting.training.step import TrainingStep
from selfsup_lifting.triangulate import triangulate_recording

Trial = Callable[[Config, list[Recording], Path], Lifter]

# How much of the average of the weights stays in a step: it is over about 500 steps.
KEPT_WEIGHTS = 0.998
# Standard deviation of the smoothing of labels, and where it ends [frames of 30 per second].
SMOOTHED, REACH = 1.5, 4
# Views that must agree with a label that counts.
AGREEING = 3
# Smallest and largest weight of a joint, relative to the mean.
LEAST_WEIGHT, LARGEST_WEIGHT = 0.25, 4.0


def as_it_is(config: Config, recordings: list[Recording], run: Path) -> Lifter:
    """Train the recipe."""
    return loop.train(config, recordings, run, resume=has_commit(run))


def average_of_weights(config: Config, recordings: list[Recording], run: Path) -> Lifter:
    """Return the exponential moving average of the network's weights."""
    means: list[AveragedModel] = []
    update = TrainingStep.update

    def updated(of: TrainingStep, *batch: object) -> None:
        update(of, *batch)  # type: ignore[arg-type]
        if not means:
            means.append(AveragedModel(of.lifter, avg_fn=_moving_average, use_buffers=True))
        means[0].update_parameters(of.lifter)

    with patch.object(TrainingStep, "update", updated):
        loop.train(config, recordings, run)
    lifter = means[0].module.eval()
    assert isinstance(lifter, Lifter)
    return lifter


def _moving_average(mean: Tensor, new: Tensor, count: Tensor | int) -> Tensor:
    """Weight the first steps alike, so that the untrained network is soon forgotten."""
    share = max(1 - KEPT_WEIGHTS, 10 / (float(count) + 10))
    return mean + ((new - mean) * share).to(mean.dtype)


def smooth_labels(config: Config, recordings: list[Recording], run: Path) -> Lifter:
    """Average each label with its neighbors in time, weighted by a Gaussian of 50 ms."""

    def smooth(frames: Frames) -> Frames:
        places = torch.arange(len(frames))
        total, weights = torch.zeros_like(frames.labels), torch.zeros(frames.labelled.shape)
        for distance in range(-REACH, REACH + 1):
            other = (places + distance).clamp(0, len(frames) - 1)
            step_apart = frames.origin[other] - frames.origin
            neighbor = (step_apart == torch.tensor([0, distance])).all(dim=1)
            weight = torch.tensor(-0.5 * (distance / SMOOTHED) ** 2).exp()
            counts = weight * (neighbor[:, None] & frames.labelled[other])
            total += counts[..., None] * frames.labels[other]
            weights += counts
        mean = total / weights.clamp(min=1e-6)[..., None]
        return replace(frames, labels=torch.where(frames.labelled[..., None], mean, 0.0))

    return _with_dataset(config, recordings, run, smooth)


def labels_of_a_teacher(config: Config, recordings: list[Recording], run: Path) -> Lifter:
    """Average each label with the mean prediction, from all views, of a network trained before."""
    teacher = as_it_is(config, recordings, run.with_name(f"teacher-{config.seed}"))

    @torch.no_grad()
    def taught(frames: Frames) -> Frames:
        labels = []
        for chosen in torch.arange(len(frames)).split(256):
            part = frames.select(chosen)
            poses, _ = lift_views(teacher.with_whitening, part, part.seen, per_view_batchnorm=False)
            world = poses @ part.camera_from_root[..., :3, :3]  # as rows, so R^T times each pose
            used = part.seen.any(dim=-1)[..., None, None]
            mean = (world * used).sum(dim=1) / used.sum(dim=1)
            labels.append(torch.where(part.labelled[..., None], (part.labels + mean) / 2, 0.0))
        return replace(frames, labels=torch.cat(labels))

    return _with_dataset(config, recordings, run, taught)


def labels_that_views_agree_with(config: Config, recordings: list[Recording], run: Path) -> Lifter:
    """Count a label only where the detections of three views agree with it."""
    kept = [triangulate_recording(one, config.triangulation).kept for one in recordings]
    agreed = [one.sum(dim=1) >= AGREEING for one in kept]

    def masked(frames: Frames) -> Frames:
        return replace(frames, labelled=frames.labelled & _looked_up(agreed, frames.origin))

    return _with_dataset(config, recordings, run, masked)


def weights_by_covariance(config: Config, recordings: list[Recording], run: Path) -> Lifter:
    """Weight each joint in L_in by the inverse of its label's standard deviation."""
    deviations = [_standard_deviations(one, config) for one in recordings]
    typical = torch.cat([one[one.isfinite()] for one in deviations]).reciprocal().mean()
    weights = [
        (1 / one / typical).nan_to_num(0.0).clamp(LEAST_WEIGHT, LARGEST_WEIGHT)
        for one in deviations
    ]
    order = torch.tensor(recordings[0].skeleton.mirror_order)
    mirrored = augmentation.mirrored

    def marked(batch: Frames, skeleton: Skeleton) -> Frames:
        # A negative number of a frame says that it is mirrored.
        other = mirrored(batch, skeleton)
        return replace(other, origin=other.origin * torch.tensor([1, -1]) - torch.tensor([0, 1]))

    def weighted_loss(
        poses: Tensor, frames: Frames, root: tuple[int, ...], losses: object
    ) -> dict[str, Tensor]:
        is_mirrored = frames.origin[:, 1] < 0
        number = torch.where(is_mirrored, -1 - frames.origin[:, 1], frames.origin[:, 1])
        weight = _looked_up(weights, torch.stack([frames.origin[:, 0], number], dim=1))
        weight = torch.where(is_mirrored[:, None], weight[:, order], weight)
        labels = rotated_to_views(frames.labels, frames.camera_from_root)
        deviation = (labels - poses).abs().sum(dim=-1) * weight[:, None]
        partial = config.losses.partial_views
        counted = counted_joints(frames, root, partial_views=partial)
        return {"L_in": masked_mean(deviation, counted)}

    with (
        patch.object(augmentation, "mirrored", marked),
        patch.object(step, "loss_terms", weighted_loss),
    ):
        return loop.train(config, recordings, run)


def _standard_deviations(recording: Recording, config: Config) -> Float[Tensor, "frames joints"]:
    """Return how far one pixel of noise moves each label [m]."""
    points, kept = triangulate_recording(recording, config.triangulation)
    covariance = point_covariance(
        recording.cameras.projections, points, sigma=1.0, weights=kept.double()
    )
    return covariance.diagonal(dim1=-2, dim2=-1).sum(dim=-1).sqrt().float()


def _looked_up(
    values: Sequence[Float[Tensor, "frames joints"] | Bool[Tensor, "frames joints"]],
    origin: Int[Tensor, "frames 2"],
) -> Tensor:
    """Return the values of frames, given those of all recordings."""
    lengths = torch.tensor([0, *(len(one) for one in values[:-1])])
    return torch.cat(list(values))[lengths.cumsum(0)[origin[:, 0]] + origin[:, 1]]


def _with_dataset(
    config: Config,
    recordings: list[Recording],
    run: Path,
    change: Callable[[Frames], Frames],
) -> Lifter:
    """Train with other labels; bones are corrected afterwards, as in the recipe."""

    def built(*arguments: object) -> Frames:
        return change(build_dataset(*arguments))  # type: ignore[arg-type]

    with patch.object(loop, "build_dataset", built):
        return loop.train(config, recordings, run)


TRIALS: dict[str, Trial] = {
    "": as_it_is,
    "average of weights": average_of_weights,
    "smooth labels": smooth_labels,
    "labels of a teacher": labels_of_a_teacher,
    "labels that three views agree with": labels_that_views_agree_with,
    "weights by covariance": weights_by_covariance,
}


def main() -> None:
    """Train and judge every trial with every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--preset", default="small", choices=PRESETS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.touch()
    done = {
        (row["seed"], *row["set"]) for row in map(json.loads, options.out.read_text().splitlines())
    }
    for seed in range(options.seeds):
        for name, trained in TRIALS.items():
            changes = [name] if name else []
            if (seed, *changes) in done:
                continue
            config = settings("robust", options.preset, "cpn-like", [], seed)
            learned, kept = divided(Clips(options.data), config.read)
            run = options.out.with_suffix("") / f"{name.replace(' ', '_') or 'teacher'}-{seed}"
            errors = judged(trained(config, learned, run), config, kept, refined=False)
            row = {"recipe": "robust", "set": changes, "seed": seed, "preset": options.preset}
            with options.out.open("a") as file:
                file.write(json.dumps({**row, "noise": "cpn-like", **errors}) + "\n")
            print(name, json.dumps(errors), flush=True)


if __name__ == "__main__":
    main()
