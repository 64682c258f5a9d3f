"""Draw the course of a training: its losses, and their shares of the gradient."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from selfsup_lifting.plots.colors import series_color
from selfsup_lifting.plots.poses import require_plane
from selfsup_lifting.recording import require_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# A row of metrics.jsonl.
Row = Mapping[str, Any]


def draw_losses(axes: "Axes", rows: Sequence[Row]) -> "Axes":
    """Draw every loss over the epochs, with a logarithmic axis.

    Args:
        axes: Where to draw.
        rows: The rows of the run's metrics.jsonl.

    Returns:
        The axes.

    Raises:
        ValueError: If `rows` are not such rows.

    Example:
        >>> from matplotlib.figure import Figure
        >>> rows = [{"epoch": 1, "losses": {"L_in": 0.5}}, {"epoch": 2, "losses": {"L_in": 0.2}}]
        >>> draw_losses(Figure().add_subplot(), rows).lines[0].get_ydata().tolist()
        [0.5, 0.2]
    """
    require_plane(axes)
    _draw_terms(axes, rows, "losses")
    axes.set_yscale("log")
    axes.set(xlabel="epoch", ylabel="loss before weighting")
    return axes


def draw_gradient_shares(axes: "Axes", rows: Sequence[Row]) -> "Axes":
    """Draw the share of every weighted loss in the gradient at the network's output.

    Args:
        axes: Where to draw.
        rows: The rows of the run's metrics.jsonl.

    Returns:
        The axes.

    Raises:
        ValueError: If `rows` are not such rows.

    Example:
        >>> from matplotlib.figure import Figure
        >>> rows = [{"epoch": 1, "gradient_shares": {"L_in": 0.75, "L_proj": 0.25}}]
        >>> [line.get_label() for line in draw_gradient_shares(Figure().add_subplot(), rows).lines]
        ['L_in', 'L_proj']
    """
    require_plane(axes)
    _draw_terms(axes, rows, "gradient_shares")
    axes.set(xlabel="epoch", ylabel="share of the gradient", ylim=(0, 1))
    return axes


def draw_held_out_error(axes: "Axes", rows: Sequence[Row]) -> "Axes":
    """Draw the reprojection error of held-out poses in the other cameras over the epochs.

    Args:
        axes: Where to draw.
        rows: The rows of the run's metrics.jsonl.

    Returns:
        The axes.

    Raises:
        ValueError: If `rows` are not such rows.

    Example:
        >>> from matplotlib.figure import Figure
        >>> rows = [{"epoch": 1, "held_out_reprojection": 0.1}, {"epoch": 2}]
        >>> draw_held_out_error(Figure().add_subplot(), rows).lines[0].get_ydata().tolist()
        [0.1]
    """
    require_plane(axes)
    _require_rows(rows)
    known = [row for row in rows if "held_out_reprojection" in row]
    errors = [row["held_out_reprojection"] for row in known]
    axes.plot([row["epoch"] for row in known], errors, color=series_color(0), linewidth=1.2)
    axes.lines[-1].set_gid("held_out_reprojection")
    axes.set(xlabel="epoch", ylabel="reprojection error [focal lengths]")
    axes.set_ylim(bottom=0)
    return axes


def _draw_terms(axes: "Axes", rows: Sequence[Row], table: str) -> None:
    """Draw one line per loss; a loss that is used later starts later."""
    _require_rows(rows, table)
    names = dict.fromkeys(name for row in rows for name in row[table])
    for place, name in enumerate(names):
        known = [(row["epoch"], row[table][name]) for row in rows if name in row[table]]
        epochs, values = zip(*known, strict=True)
        marker = "" if len(known) > 1 else "o"
        axes.plot(
            epochs, values,
            color=series_color(place), label=name, linewidth=1.2, marker=marker,
            gid=f"{table}/{name}",
        )  # fmt: skip
    axes.legend(fontsize=8, frameon=False)


def _require_rows(rows: Sequence[Row], *tables: str) -> None:
    """Refuse what are no rows of metrics.jsonl, such as the path of the file."""
    require_kind("rows", rows, list | tuple)
    for number, row in enumerate(rows):
        require_kind(f"rows[{number}]", row, Mapping)
        if lacking := [key for key in ("epoch", *tables) if key not in row]:
            raise ValueError(f"`rows[{number}]` must have {lacking[0]!r}, got {', '.join(row)}")
