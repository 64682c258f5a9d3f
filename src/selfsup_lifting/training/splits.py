"""Split recordings into training and held-out data."""

from collections.abc import Sequence
from typing import NamedTuple

from selfsup_lifting.recording import Recording

# A recording that is split in time keeps its last share for evaluation.
HELD_OUT_SHARE = 0.2


class Split(NamedTuple):
    """Recordings to train on, recordings held out, and a sentence that describes the split."""

    training: list[Recording]
    held_out: list[Recording]
    summary: str


def hold_out(recordings: Sequence[Recording], names: Sequence[str] = ()) -> Split:
    """Hold some recordings out of the training.

    Args:
        recordings: All recordings.
        names: Subjects, actions or recordings to hold out. By default the last of several
            subjects, else the last fifth of every recording.

    Returns:
        The split.

    Raises:
        ValueError: If a name matches no recording, or no training data are left.
    """
    subjects = sorted({recording.subject for recording in recordings})
    if not names and len(subjects) == 1:
        return _split_in_time(recordings)
    chosen = tuple(names) or (subjects[-1],)
    for name in chosen:
        if not any(_is_named(recording, (name,)) for recording in recordings):
            raise ValueError(
                f"`hold_out` names {name!r}, which is no subject, action or recording; "
                f"subjects are {', '.join(subjects)}"
            )
    held_out = [recording for recording in recordings if _is_named(recording, chosen)]
    training = [recording for recording in recordings if not _is_named(recording, chosen)]
    if not training:
        raise ValueError(f"holding out {', '.join(chosen)} leaves no training data")
    counts = f"training on {len(training)} recordings, {len(held_out)} held out"
    return Split(training, held_out, f"{counts} ({', '.join(chosen)})")


def _split_in_time(recordings: Sequence[Recording]) -> Split:
    counts = [one.frame_count - round(HELD_OUT_SHARE * one.frame_count) for one in recordings]
    pairs = list(zip(recordings, counts, strict=True))
    held_out = [one.frames(slice(count, None)) for one, count in pairs]
    held = sum(one.frame_count for one in held_out)
    return Split(
        [one.frames(slice(None, count)) for one, count in pairs],
        [one for one in held_out if one.frame_count],
        f"training on {sum(counts)} frames; the last {held} frames are held out",
    )


def _is_named(recording: Recording, names: Sequence[str]) -> bool:
    return bool({recording.subject, recording.action, recording.name} & set(names))
