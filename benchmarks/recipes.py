"""How good is a recipe on the rig that it was trained on, and on rigs that it never saw?

Motion-capture clips of some styles are kept out. A recipe is trained on the others, filmed by four
cameras on a ring, and judged on the kept clips: filmed by the same ring, and by drawn rigs of other
distances, heights, focal lengths and aims. One line of JSON per training; a training that the file
already holds is not run again.

To choose a setting, `--judged-styles` judges on other styles, which are then not learned from
either; the kept clips have no part in it.

    python benchmarks/recipes.py --data mocap:../shared/data/mocap-bvh --recipes paper robust \
        --preset quick --seeds 3 --noise cpn-like --out runs/recipes.jsonl
"""

import argparse
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from multiview_geom import Cameras, look_at, world_to_camera
from selfsup_lifting.config import Config
from selfsup_lifting.evaluation.ablation import varied
from selfsup_lifting.evaluation.evaluate import Errors, evaluate_lifter, pose_errors
from selfsup_lifting.evaluation.metrics import mpjpe, p_mpjpe
from selfsup_lifting.export import standard_deviations
from selfsup_lifting.files import read_recordings
from selfsup_lifting.inference import lift_covariances
from selfsup_lifting.read_settings import ReadSettings
from selfsup_lifting.recipes import PRESETS
from selfsup_lifting.recording import Recording
from selfsup_lifting.run_files import has_commit
from selfsup_lifting.simulation.detector_noise import film, generator_for
from selfsup_lifting.simulation_settings import NOISE_LEVELS
from selfsup_lifting.stream import PoseStream
from selfsup_lifting.training.lifter import Lifter
from selfsup_lifting.training.loop import train
from selfsup_lifting.training.losses import rotation_part
from selfsup_lifting.training.splits import hold_out

KEPT_STYLES = ("happy", "proud", "sad")
RIGS, VIEWS = 20, 4
# Frames that are judged on unseen rigs: every third of 30 per second.
JUDGED = slice(None, None, 3)
IMAGE = 1000


@dataclass(frozen=True)
class Clips:
    """Which clips a recipe learns from, and which it is judged on.

    Attributes:
        data: The motion-capture clips.
        learned: The styles to learn from; all that are not kept or judged if none is named.
        judged: The styles to judge on; without any, the kept ones.
    """

    data: str
    learned: tuple[str, ...] = ()
    judged: tuple[str, ...] = ()


@lru_cache(maxsize=1)
def divided(clips: Clips, read: ReadSettings) -> tuple[list[Recording], list[Recording]]:
    """Return the clips to learn from, and those to judge on."""
    split = hold_out(read_recordings([clips.data], read), KEPT_STYLES)
    if clips.judged:
        split = hold_out(split.training, clips.judged)
    learned = hold_out(split.training, clips.learned).held_out if clips.learned else split.training
    return learned, split.held_out


def drawn_rig(number: int) -> Cameras:
    """Draw cameras at 3 to 8 m and 0.4 to 3.2 m height; each one frames the body differently."""
    draw = torch.Generator().manual_seed(1000 + number)

    def between(low: float, high: float) -> torch.Tensor:
        return low + (high - low) * torch.rand(VIEWS, generator=draw, dtype=torch.float64)

    azimuth, radius = between(0.0, 2 * torch.pi), between(3.0, 8.0)
    at = torch.stack([radius * azimuth.cos(), radius * azimuth.sin(), between(0.4, 3.2)], dim=1)
    aim = torch.stack([between(-0.4, 0.4), between(-0.4, 0.4), between(0.7, 1.2)], dim=1)
    focal = 1145.0 / 4.5 * radius * between(-0.25, 0.25).exp()
    middle = torch.full_like(focal, (IMAGE - 1) / 2)
    zero, one = torch.zeros_like(focal), torch.ones_like(focal)
    K = torch.stack([focal, zero, middle, zero, focal, middle, zero, zero, one], dim=1)
    up = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    sizes = torch.full((VIEWS, 2), IMAGE)
    return Cameras(K.view(VIEWS, 3, 3), look_at(at, aim, up), image_size=sizes)


def filmed(recording: Recording, number: int, read: ReadSettings) -> Recording:
    """Film a clip by a drawn rig, with the same kind of detector."""
    rig, name = drawn_rig(number), f"rig {number}/{recording.name}"
    assert recording.truth is not None
    seen = film(
        rig, recording.truth.double(), read.noise, generator_for(0, name), recording.skeleton
    )
    return replace(recording, cameras=rig, keypoints=seen.keypoints, confidence=seen.confidence)


def measured(config: Config, clips: Clips, run: Path, *, refined: bool) -> dict[str, float]:
    """Train once; return the errors [mm] and the processor time of the training [s]."""
    training, kept = divided(clips, config.read)
    started = time.process_time()
    lifter = train(config, training, run, resume=has_commit(run))
    seconds = time.process_time() - started
    return {**judged(lifter, config, kept, refined=refined), "seconds": seconds}


def judged(
    lifter: Lifter, config: Config, kept: list[Recording], *, refined: bool
) -> dict[str, float]:
    """Return the errors on the kept clips [mm]: same rig, unseen rigs, refined poses, streams."""
    some = [one.frames(JUDGED) for one in kept]
    unseen = [filmed(one, number, config.read) for number in range(RIGS) for one in some]
    totals = {
        "": evaluate_lifter(lifter, kept).total,
        "unseen_": evaluate_lifter(lifter, unseen).total,
    }
    if refined:
        totals["refined_"] = evaluate_lifter(lifter, kept, refine=True).total
    errors = {
        f"{name}{measure}": getattr(total, measure)
        for name, total in totals.items()
        for measure in ("p_mpjpe_mm", "mpjpe_mm")
    }
    if refined:
        errors |= streamed(lifter, kept)
    return errors | (ellipsoids(lifter, totals, kept) if lifter.settings.uncertainty else {})


def streamed(lifter: Lifter, kept: list[Recording]) -> dict[str, float]:
    """Return the errors of streams that refine their poses, of poses with a detection [mm]."""
    errors = []
    for one in kept:
        points = torch.stack([_stream(lifter, one.select_views([v])) for v in one.cameras.names], 1)
        assert one.truth is not None
        rotations = rotation_part(one.cameras.camera_from_world)
        truth = world_to_camera(rotations, one.truth.double()).float()
        pairs = (p_mpjpe(points, truth), mpjpe(points, truth, one.skeleton.root))
        detected = one.keypoints.isfinite().flatten(2).any(dim=-1)
        errors.append(torch.stack(pairs)[:, detected])
    means = torch.cat(errors, dim=1).nanmean(dim=1).tolist()
    return dict(zip(("streamed_p_mpjpe_mm", "streamed_mpjpe_mm"), means, strict=True))


def _stream(lifter: Lifter, single: Recording) -> Float[Tensor, "frames joints 3"]:
    stream = PoseStream(lifter, single.cameras, refine=True)
    frames = zip(single.keypoints, single.confidence, strict=True)
    return torch.stack([stream.step(*frame).points for frame in frames])


def ellipsoids(
    lifter: Lifter, totals: dict[str, Errors], kept: list[Recording]
) -> dict[str, float]:
    """Return how many errors the ellipsoids hold, and the mean error of the surest joints [mm]."""
    errors = [one.joints.flatten() for one in pose_errors(lifter, kept)]
    covariances = [
        lift_covariances(lifter, one.cameras, one.keypoints, one.confidence) for one in kept
    ]
    sigmas = torch.cat([standard_deviations(one).flatten() for one in covariances])
    error = torch.cat(errors)
    counted = error.isfinite() & (sigmas > 0)
    order = sigmas[counted].argsort()
    ordered = error[counted][order]
    parts = ordered.tensor_split(4)
    return {
        "coverage": totals[""].coverage,
        "unseen_coverage": totals["unseen_"].coverage,
        "surest_mm": float(parts[0].mean()),
        "least_sure_mm": float(parts[-1].mean()),
    }


def settings(recipe: str, preset: str, noise: str, changes: Sequence[str], seed: int) -> Config:
    """Return the settings of a recipe with changes such as `losses.input_norm=l1`."""
    read = ReadSettings(noise=NOISE_LEVELS[noise])
    config = replace(PRESETS[preset](Config()), seed=seed, read=read)
    for change in (f"recipe={recipe}", *changes):
        config = varied(config, change)[0].config
    return config


def main() -> None:
    """Train and judge every recipe with every seed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--recipes", nargs="+", default=["paper", "robust"])
    parser.add_argument("--preset", default="quick", choices=PRESETS)
    parser.add_argument("--noise", default="cpn-like", choices=NOISE_LEVELS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[], help="changes of all recipes")
    parser.add_argument("--each", nargs="*", default=[], help="changes, each in a training alone")
    parser.add_argument("--styles", nargs="*", default=[], help="learn from clips of these alone")
    parser.add_argument(
        "--judged-styles", nargs="*", default=[], help="judge on these, and do not learn from them"
    )
    parser.add_argument("--lifted-alone", action="store_true", help="judge no refined poses")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    options.out.touch()
    seeds = range(options.first_seed, options.first_seed + options.seeds)
    clips = Clips(options.data, tuple(options.styles), tuple(options.judged_styles))
    changes = [options.set, *([*options.set, one] for one in options.each)]
    for seed, recipe, some in product(seeds, options.recipes, changes):
        alone = [f"clips={','.join(options.styles)}"] if options.styles else []
        key = {"recipe": recipe, "set": [*some, *alone], "seed": seed}
        key |= {"preset": options.preset, "noise": options.noise}
        key |= {"judged": options.judged_styles} if options.judged_styles else {}
        done = map(json.loads, options.out.read_text().splitlines())
        if any(key == {name: row.get(name) for name in key} for row in done):
            continue
        config = settings(recipe, options.preset, options.noise, some, seed)
        name = "--".join(re.sub(r"[^\w.=-]+", "_", str(part)) for part in key.values())
        run = options.out.with_suffix("") / name
        row = {**key, **measured(config, clips, run, refined=not options.lifted_alone)}
        with options.out.open("a") as file:
            file.write(json.dumps(row) + "\n")
        print(json.dumps(row), flush=True)


if __name__ == "__main__":
    main()
