"""Refuse what is not by frame, view and joint, or does not fit the names."""

from collections.abc import Sequence

from torch import Tensor

from selfsup_lifting.recording import require_kind


def require_by_frame(
    name: str, tensor: Tensor, views: Sequence[str], joints: Sequence[str] | None = None
) -> None:
    """Refuse a tensor that is not by frame, view and joint, or of other numbers than names.

    Args:
        name: The argument.
        tensor: Its value.
        views: The names of the views.
        joints: The names of the joints; None if any number is right.

    Raises:
        ValueError: If the tensor has another shape, or the names are no sequence of texts.
    """
    require_kind(name, tensor, Tensor)
    wanted = ["frames"]
    for axis, names in (("views", views), ("joints", joints)):
        if names is not None:
            require_names(axis, names)
        wanted.append(axis if names is None else f"{len(names)} {axis}")
    found = tensor.shape
    named = (None, len(views), None if joints is None else len(joints))
    if len(found) != len(named) or any(
        length not in (None, size) for length, size in zip(named, found, strict=True)
    ):
        shape = " x ".join(map(str, found)) or "one number"
        raise ValueError(f"`{name}` must be {' x '.join(wanted)}, got {shape}")


def require_names(name: str, names: Sequence[str]) -> None:
    """Refuse what is no sequence of texts, such as one text."""
    given = isinstance(names, Sequence) and not isinstance(names, str)
    if not given:
        raise ValueError(f"`{name}` must be a sequence of names, got {names!r}")
