"""Recipes and presets: named changes to the settings."""

from collections.abc import Callable, Mapping
from dataclasses import replace

from selfsup_lifting.config import (
    AugmentationSettings,
    Config,
    Labels,
    LifterSettings,
    LossSettings,
    Method,
    Norm,
)

# Over this many frames a joint moves nearly along a line.
LONGEST_GAP = 8


def paper(config: Config) -> Config:
    """Use all four losses and linear triangulation, as the paper does."""
    return replace(config, triangulation=replace(config.triangulation, method=Method.DLT))


def pseudo_label(config: Config) -> Config:
    """Use the triangulated input alone (Kocabas et al. 2019): a lower baseline."""
    input_only = replace(config.losses, projection=0.0, consistency=0.0, output=0.0)
    return replace(config, losses=input_only)


def supervised(config: Config) -> Config:
    """Use the ground truth of the recordings: an upper baseline."""
    config = pseudo_label(config)
    return replace(config, losses=replace(config.losses, labels=Labels.TRUTH))


def robust(config: Config) -> Config:
    """Learn robust labels from real and virtual cameras, with L_in alone of the losses.

    docs/study.md compares it with `paper`, and tells what each of its settings gains.
    """
    return replace(
        config,
        read=replace(config.read, fill_gaps=LONGEST_GAP),
        decay=True,
        losses=replace(
            config.losses,
            projection=0.0, consistency=0.0, output=0.0,
            input_norm=Norm.L1, partial_views=True, equal_bones=True,
        ),
        triangulation=replace(config.triangulation, method=Method.ROBUST, weighted=True),
        augmentation=AugmentationSettings(mirror=True, hidden_share=0.05, virtual_share=0.5),
        lifter=replace(
            config.lifter,
            dropout=0.0, confidence_input=True, turn_to_root=True, average_mirrored=True,
        ),
    )  # fmt: skip


def paper_human36m(config: Config) -> Config:
    """Train on Human3.6M as the paper: 500 epochs, batches of 8192 view-poses, 10 Hz."""
    learned = replace(paper(config), epochs=500, frames_per_batch=2048, learning_rate=1e-3)
    read = replace(config.read, fps=10.0)
    return replace(learned, read=read, lifter=LifterSettings(), hold_out=("S9", "S11"))


def paper_humaneva(config: Config) -> Config:
    """Train on HumanEva as the paper: 5000 epochs, batches of 1600 view-poses from 3 cameras."""
    parts = ("Validate/S1", "Validate/S2", "Validate/S3")
    learned = paper_human36m(config)
    return replace(learned, epochs=5000, frames_per_batch=1600 // 3, hold_out=parts)


def code_compat(config: Config) -> Config:
    """Train on Human3.6M as the authors' released code does by default.

    Errors of that code without a setting here are not reproduced: the fourth view of L_proj in
    absolute pixels, centered pixels as input instead of focal lengths, and the crash of L_out at
    the start.
    """
    losses = LossSettings(
        projection=0.0, consistency=1.0, output=0.0,
        input_norm=Norm.L1, output_share=250 / 700,
        consistency_with_labels=True, output_of_detections=True,
    )  # fmt: skip
    learned = replace(paper_human36m(config), epochs=700, losses=losses)
    return replace(
        learned,
        reset_adam=True,
        shuffle=False,
        per_view_batchnorm=True,
        read=replace(learned.read, undistort=False),
        lifter=replace(learned.lifter, output_unit=0.001),
    )


def demo(config: Config) -> Config:
    """Train a small network for about a minute on two cores: enough to see that it learns."""
    return replace(small(config), steps=400)


def small(config: Config) -> Config:
    """Train a small network for one or two minutes on two cores."""
    lifter = replace(config.lifter, width=256, dropout=0.1)
    return replace(config, lifter=lifter, steps=1200, frames_per_batch=64)


def quick(config: Config) -> Config:
    """Train a medium network for some minutes on two cores."""
    medium = replace(config.lifter, width=512, dropout=0.1)
    return replace(config, lifter=medium, steps=4000, frames_per_batch=64)


def full(config: Config) -> Config:
    """Train as long as the paper, with its network: 500 epochs, 1024 wide."""
    return replace(config, epochs=500)


RECIPES: Mapping[str, Callable[[Config], Config]] = {
    "paper": paper,
    "robust": robust,
    "pseudo-label": pseudo_label,
    "supervised": supervised,
    "paper-h36m": paper_human36m,
    "paper-humaneva": paper_humaneva,
    "code-compat": code_compat,
}
PRESETS: Mapping[str, Callable[[Config], Config]] = {
    "demo": demo, "small": small, "quick": quick, "full": full,
}  # fmt: skip
