"""Turn matplotlib figures into SVG within a page, in the colors of the page."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from typing import TYPE_CHECKING, Any
from warnings import catch_warnings, filterwarnings

from selfsup_lifting.page_template import page_text
from selfsup_lifting.plots.style import plain_style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# A color that no data have: it becomes the color of the page's text, which may be light or dark.
INK = "#012345"
STYLE: dict[Any, Any] = {
    "text.color": INK, "axes.labelcolor": INK, "axes.edgecolor": INK,
    "xtick.color": INK, "ytick.color": INK, "grid.color": "#80808060",
    "axes.facecolor": "none", "axes3d.xaxis.panecolor": "none", "axes3d.yaxis.panecolor": "none",
    "axes3d.zaxis.panecolor": "none", "font.size": 9, "axes.titlesize": 10,
    "axes.spines.top": False, "axes.spines.right": False,
    # Text stays text, and equal figures give equal files.
    "svg.fonttype": "none", "svg.hashsalt": "report", "font.family": "sans-serif",
}  # fmt: skip
PIXELS_PER_INCH = 96


@contextmanager
def drawn(width: float, height: float, caption: str, into: list[str]) -> Iterator["Figure"]:
    """Yield an empty figure; when the block ends, it is added to a list as HTML.

    Args:
        width: Width [inches].
        height: Height [inches].
        caption: What the figure shows, for readers and screen readers.
        into: Where the HTML is added.
    """
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with plain_style(), mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)  # whose text has other sizes than that of pictures
        yield figure
        file = StringIO()
        with catch_warnings():
            # Names may have letters that this font lacks: the browser has others.
            filterwarnings("ignore", "Glyph .* missing from font|constrained_layout not applied")
            arrange(figure)
            figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    size = f"width: {PIXELS_PER_INCH * width:.0f}px"
    shown = f"<figcaption>{page_text(caption)}</figcaption>"
    into.append(f'<figure style="{size}">{_inline(file.getvalue(), caption)}{shown}</figure>')


def arrange(figure: "Figure") -> None:
    """Make room for the text, without the drawing in between that `savefig` would add."""
    if engine := figure.get_layout_engine():
        engine.execute(figure)
    figure.set_layout_engine(None)


def _inline(svg: str, caption: str) -> str:
    """Remove what only a file of its own needs, and take over the color of the page."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (?:xmlns(?::\w+)?|width|height|version)="[^"]*"', "", svg, count=5)
    svg = svg.replace("xlink:href", "href").replace(INK, "currentColor")
    return svg.replace("<svg", f'<svg role="img" aria-label="{page_text(caption)}"', 1)
