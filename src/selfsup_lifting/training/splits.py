"""Split recordings into training and held-out data."""

from collections.abc import Sequence
from itertools import compress
from operator import not_
from typing import NamedTuple

from selfsup_lifting.config import Config
from selfsup_lifting.read_errors import listed
from selfsup_lifting.recording import Recording

# A recording that is split in time keeps its last share for evaluation.
HELD_OUT_SHARE = 0.2
# The setting that is split off first; the others choose from what is left.
FIRST_SPLIT = "hold_out"


class Split(NamedTuple):
    """Recordings to train on, recordings held out, and a sentence that describes the split."""

    training: list[Recording]
    held_out: list[Recording]
    summary: str


def hold_out(
    recordings: Sequence[Recording],
    names: Sequence[str] = (),
    setting: str = FIRST_SPLIT,
    *,
    others: Sequence[Recording] | None = None,
) -> Split:
    """Hold some recordings out of the training.

    Args:
        recordings: All recordings.
        names: Subjects, actions or recordings to hold out. By default the last of several
            subjects, else the last fifth of every recording.
        setting: The setting that has these names, for errors.
        others: Recordings that are left out already, which a name may mean too.

    Returns:
        The split.

    Raises:
        ValueError: If a name matches no recording, or no training data are left.
    """
    if not recordings:
        raise ValueError("there is no recording")
    subjects = _subjects(recordings)
    if not names and len(subjects) == 1:
        return _split_in_time(recordings)
    chosen = tuple(names) or (subjects[-1],)
    _require_known(chosen, recordings, setting, others)
    in_training = [_names(one).isdisjoint(chosen) for one in recordings]
    training = list(compress(recordings, in_training))
    held_out = list(compress(recordings, map(not_, in_training)))
    if not training:
        raise ValueError(f"`{setting}` {', '.join(chosen)} leaves no training data")
    noun = "recording" if len(training) == 1 else "recordings"
    counts = f"training on {len(training)} {noun}, {len(held_out)} held out"
    return Split(training, held_out, f"{counts} ({', '.join(chosen)})")


def first_cameras(recordings: Sequence[Recording], count: int | None) -> list[Recording]:
    """Return each recording with its first cameras only; with all of them if no count is given.

    Raises:
        ValueError: If a recording has fewer cameras.
    """
    for one in recordings:
        if count is not None and count > one.cameras.views:
            raise ValueError(
                f"setting `cameras_learned` must be at most the {one.cameras.views} cameras of "
                f"{one.name}, got {count}"
            )
    return [
        one if count is None else one.select_views(one.cameras.names[:count]) for one in recordings
    ]


def learned_part(config: Config, recordings: Sequence[Recording]) -> Split:
    """Split the recordings of a training into what its network learns from, and the rest.

    Returns:
        What is learned from; and, held out, what the size of the ellipsoids is found from. What the
        best weights are selected by is in neither.

    Raises:
        ValueError: If a setting does not fit the recordings.
    """
    left = first_cameras(recordings, config.cameras_learned)
    if config.select_on:
        left = hold_out(left, config.select_on, "select_on").training
    if config.lifter.uncertainty:
        return hold_out(left, config.uncertainty_on, "uncertainty_on")
    return Split(left, [], "")


def _require_known(
    names: Sequence[str],
    recordings: Sequence[Recording],
    setting: str,
    others: Sequence[Recording] | None,
) -> None:
    unknown = set(names).difference(*map(_names, [*recordings, *(others or ())]))
    if unknown:
        left = "" if setting == FIRST_SPLIT else " that is left to learn from"
        raise ValueError(
            f"`{setting}` names {min(unknown)!r}, which is no subject, action or recording{left}; "
            f"subjects{' left' if left else ''} are {', '.join(_subjects(recordings))}, and "
            f"recordings {listed(sorted({one.name for one in recordings}), most=12)}"
            f"{'' if others is None else '; what is held out already is given as `held_out`'}"
        )


def _subjects(recordings: Sequence[Recording]) -> list[str]:
    return sorted({recording.subject for recording in recordings})


def _names(recording: Recording) -> set[str]:
    return {recording.subject, recording.action, recording.name}


def _split_in_time(recordings: Sequence[Recording]) -> Split:
    counts = [one.frame_count - round(HELD_OUT_SHARE * one.frame_count) for one in recordings]
    if sum(counts) == sum(one.frame_count for one in recordings):
        frames = max(one.frame_count for one in recordings)
        raise ValueError(
            f"the last {HELD_OUT_SHARE:.0%} of a recording are held out for the error, which "
            f"needs more frames than the {frames} of {recordings[0].name}"
        )
    pairs = list(zip(recordings, counts, strict=True))
    held_out = [one.frames(slice(count, None)) for one, count in pairs]
    held = sum(one.frame_count for one in held_out)
    training = [one.frames(slice(None, count)) for one, count in pairs]
    summary = f"training on {sum(counts)} frames; the last {held} frames are held out"
    return Split(training, [one for one in held_out if one.frame_count], summary)
