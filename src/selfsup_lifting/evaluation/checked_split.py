"""What can be known to fail, or to have no effect, before a training or an evaluation begins."""

from collections.abc import Iterator, Sequence
from math import inf
from typing import NamedTuple

from selfsup_lifting.agreement import require_agreement
from selfsup_lifting.config import Config, Labels
from selfsup_lifting.evaluation.inspection_warnings import (
    warnings_about_geometry,
    warnings_about_places,
    warnings_about_truth,
    warnings_about_weights,
)
from selfsup_lifting.evaluation.published_tables import split_for
from selfsup_lifting.read_errors import listed
from selfsup_lifting.reader import merged_notes
from selfsup_lifting.recording import Recording
from selfsup_lifting.skeleton.skeletons import joints_of
from selfsup_lifting.training.dataset import common_skeleton
from selfsup_lifting.training.devices import training_device
from selfsup_lifting.training.splits import Split, learned_part

# The ratio of two rates that are one, rounded: 29.97 and 30 frames per second.
SAME_RATE = 1.02


class CheckedSplit(NamedTuple):
    """Recordings to train on and to hold out, and what was found.

    Attributes:
        split: The split.
        is_comparable: Whether an error can be computed on the recordings that are held out.
        notes: What looks wrong, one sentence each.
        summary: A sentence for each part that the recordings are split into.
    """

    split: Split
    is_comparable: bool
    notes: list[str]
    summary: list[str]


def checked_split(config: Config, recordings: Sequence[Recording]) -> CheckedSplit:
    """Split recordings as a training does, and refuse what it would refuse later.

    Args:
        config: The settings of the training.
        recordings: Its data.

    Raises:
        ValueError: If a setting does not fit the recordings or this machine, or the cameras of a
            recording disagree too much.
    """
    training_device(config.device)
    common_skeleton(recordings)
    supervised = config.losses.labels is Labels.TRUTH
    _require_content(recordings, supervised=supervised)
    weighted = config.triangulation.weighted
    notes = [*notes_on_recordings(recordings, config.most_disagreement, weighted=weighted)]
    split = split_for(config, recordings)
    learned, summary = learned_part(config, split.training), [split.summary]
    if learned.summary:
        summary.append(f"for the size of the ellipsoids, {learned.summary}")
    for why in _without_poses(learned.training, with_truth=supervised):
        notes.append(f"nothing can be learned from {why}")
    compared = notes_on_comparison(split.held_out)
    notes += [f"of what is held out, {note}" for note in compared]
    with_truth = all(one.truth is not None for one in split.held_out)
    blind = [*_without_poses(split.held_out, with_truth=with_truth)]
    return CheckedSplit(split, len(blind) < len(split.held_out), notes, summary)


def notes_on_recordings(
    recordings: Sequence[Recording], most_disagreement: float = inf, *, weighted: bool = False
) -> Iterator[str]:
    """Yield what looks wrong in the recordings of a training or of an evaluation.

    Args:
        recordings: Any recordings.
        most_disagreement: How much cameras may disagree, as a share of the subject's size.
        weighted: Whether confidences weight the triangulation.

    Raises:
        ValueError: If the cameras of a recording disagree more.
    """
    yield from require_agreement(recordings, most_disagreement)
    found = []
    for one in recordings:
        notes = [*warnings_about_places(one), *warnings_about_truth(one)]
        notes += warnings_about_geometry(one, None)
        found.append((one.name, [*notes, *(warnings_about_weights(one) if weighted else ())]))
    yield from merged_notes(found)


def notes_on_comparison(recordings: Sequence[Recording]) -> list[str]:
    """Say which recordings have no ground truth beside others, and which nothing is compared with.

    Args:
        recordings: The recordings of an evaluation.

    Returns:
        A sentence for each fact.
    """
    lacking = [one.name for one in recordings if one.truth is None]
    notes = []
    if 0 < len(lacking) < len(recordings):
        notes.append(
            f"{listed(lacking)} {'has' if len(lacking) == 1 else 'have'} no ground truth: all "
            "recordings are compared with the triangulation of their views, and the ground truth "
            "of the others is not used"
        )
    rates = [one.fps for one in recordings]
    if max(rates) > SAME_RATE * min(rates):
        notes.append(
            f"the recordings have {min(rates):g} to {max(rates):g} frames per second: the mean "
            "error of the velocity, in mm per frame, mixes them (--fps makes them alike)"
        )
    blind = _without_poses(recordings, with_truth=not lacking)
    return [*notes, *(f"no error can be computed for {why}" for why in blind)]


def _require_content(recordings: Sequence[Recording], *, supervised: bool) -> None:
    """Refuse recordings that nothing can be learned from, and nothing compared with."""
    lacking = [one.name for one in recordings if one.truth is None]
    if supervised and lacking:
        raise ValueError(f"`losses.labels` truth needs ground truth, {listed(lacking)} has none")
    for one in recordings:
        if one.cameras.views < 2 and one.truth is None:  # noqa: PLR2004 - to compare
            raise ValueError(
                f"{one.name} has one camera and no ground truth: nothing can be learned from it, "
                "and its error cannot be computed; leave it out of --data"
            )


def _without_poses(recordings: Sequence[Recording], *, with_truth: bool) -> Iterator[str]:
    """Yield the name of each recording without any pose to compare or to learn from, and why."""
    for one in recordings:
        kept = one if with_truth else one.without_truth()
        if any(map(_has_pose, kept.parts())):
            continue
        root = " and ".join(one.skeleton.joints[joint] for joint in one.skeleton.root)
        if with_truth:
            why = f"no frame has a detection, and the root ({root}) in its ground truth"
        elif one.cameras.views > 1:
            why = f"in no frame do two cameras see the root ({root})"
        else:
            why = "it has one camera, and no ground truth that is used"
        yield f"{one.name} ({one.frame_count} frames): {why}"


def _has_pose(part: Recording) -> bool:
    """Return whether a frame has a detection, and a root that is known or seen by two cameras."""
    seen = part.keypoints.isfinite().all(dim=-1)
    known = seen.sum(dim=1) > 1 if part.truth is None else part.truth.isfinite().all(dim=-1)
    rooted = joints_of(known, part.skeleton.root, dim=-1).all(dim=-1)
    return bool((rooted & seen.flatten(1).any(dim=1)).any())
