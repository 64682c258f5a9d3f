"""Which takes are learned from, and which are kept to judge by."""

from collections.abc import Sequence
from typing import NamedTuple

from selfsup_lifting.recording import Recording

# Of a take that is split, the last share is kept out.
KEPT_OUT_SHARE = 0.2


class Split(NamedTuple):
    """Recordings to learn from, recordings kept out, and a sentence that says which."""

    learned: list[Recording]
    kept_out: list[Recording]
    told: str


def hold_out(recordings: Sequence[Recording], names: Sequence[str] = ()) -> Split:
    """Keep some recordings out of training.

    Args:
        recordings: All takes.
        names: Subjects, actions or takes to keep out. By default the last of several subjects,
            else the last fifth of every take.

    Returns:
        The split.

    Raises:
        ValueError: If a name matches nothing, or nothing is left to learn from.
    """
    subjects = sorted({recording.subject for recording in recordings})
    if not names and len(subjects) == 1:
        return _split_in_time(recordings)
    chosen = tuple(names) or (subjects[-1],)
    _require_known(chosen, recordings)
    kept_out = [recording for recording in recordings if _is_named(recording, chosen)]
    learned = [recording for recording in recordings if not _is_named(recording, chosen)]
    if not learned:
        raise ValueError(f"holding out {', '.join(chosen)} leaves nothing to learn from")
    told = f"learning from {len(learned)} takes, {len(kept_out)} kept out ({', '.join(chosen)})"
    return Split(learned, kept_out, told)


def _split_in_time(recordings: Sequence[Recording]) -> Split:
    learned, kept_out = [], []
    for recording in recordings:
        first_kept = recording.frame_count - round(KEPT_OUT_SHARE * recording.frame_count)
        learned.append(recording.frames(slice(None, first_kept)))
        kept_out.append(recording.frames(slice(first_kept, None)))
    frames = sum(recording.frame_count for recording in learned)
    kept = sum(recording.frame_count for recording in kept_out)
    return Split(
        learned,
        [recording for recording in kept_out if recording.frame_count],
        f"learning from {frames} frames; the last {kept} frames are kept out",
    )


def _is_named(recording: Recording, names: Sequence[str]) -> bool:
    return bool({recording.subject, recording.action, recording.name} & set(names))


def _require_known(names: Sequence[str], recordings: Sequence[Recording]) -> None:
    for name in names:
        if not any(_is_named(recording, (name,)) for recording in recordings):
            subjects = sorted({recording.subject for recording in recordings})
            raise ValueError(
                f"`hold_out` names {name!r}, which is no subject, action or take; "
                f"subjects are {', '.join(subjects)}"
            )
