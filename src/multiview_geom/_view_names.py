"""Names of the views of a rig, and what selects some of them."""

from collections.abc import Collection, Sequence
from itertools import compress
from typing import Any, Protocol, SupportsIndex, runtime_checkable

from jaxtyping import Bool, Int
from torch import Tensor

from multiview_geom._validation import require_items, require_same_size


@runtime_checkable
class Array(Protocol):
    """An array of NumPy, which is not imported here."""

    def tolist(self) -> Any:  # noqa: ANN401 - numbers, truth values or names
        """Return a list."""


Views = (
    str | slice | Sequence[str] | Sequence[SupportsIndex] | Sequence[bool]
    | Int[Tensor, "selected"] | Bool[Tensor, "views"] | Array
)  # fmt: skip


def require_names(names: object) -> None:
    """Refuse one text, whose letters would be names, and names that are no text."""
    require_items("names", names, str, "texts")


def default_names(views: int) -> tuple[str, ...]:
    """Name cameras by their number, counted from one."""
    return tuple(f"cam_{view + 1}" for view in range(views))


def view_numbers(names: Sequence[str], views: Views) -> list[int]:
    """Return the numbers of the selected views, counted from zero.

    Raises:
        ValueError: If there is no such view, several have the name, or a mask has another length.
    """
    if isinstance(views, slice):
        return list(range(len(names)))[views]
    plain = [views] if isinstance(views, str) else _without_arrays(views)
    wanted = [*map(_without_arrays, plain)] if isinstance(plain, Collection) else plain
    require_items("views", wanted, str | int, "names or numbers")
    if not (wanted and all(isinstance(view, bool) for view in wanted)):
        return [_view_number(names, view) for view in wanted]
    require_same_size("views", cameras=len(names), mask=len(wanted))
    return [*compress(range(len(names)), wanted)]


def _without_arrays(value: Any) -> Any:  # noqa: ANN401 - anything
    """Return plain Python for tensors and for arrays and numbers of NumPy."""
    return value.tolist() if hasattr(value, "tolist") else value


def _view_number(names: Sequence[str], view: str | int) -> int:
    if view in names:
        if names.count(view) > 1:
            raise ValueError(f"`views` must name one view, got {view!r}, the name of several")
        return names.index(view)
    if isinstance(view, int) and -len(names) <= view < len(names):
        return view % len(names)
    raise ValueError(f"`views` must be of {', '.join(names)}, got {view!r}")
