"""The terminal, on which names out of files do not act as commands."""

import logging
from collections.abc import Iterable
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment
from rich.table import Table

from selfsup_lifting.read_errors import one_sentence
from selfsup_lifting.safe_text import printable

# Characters in a line of a terminal of unknown width.
USUAL_WIDTH = 80


class Terminal(Console):
    """A console without markup, on which text has no control characters."""

    def __init__(self, **options: Any) -> None:  # noqa: ANN401 - the options of rich's console
        super().__init__(highlight=False, markup=False, **options)
        if not self.width:  # rich prints nothing if the environment's COLUMNS is 0
            self.width = USUAL_WIDTH

    def print(self, *objects: Any, crop: bool = False, **options: Any) -> None:  # noqa: ANN401
        """Print as rich does, also what is wider than the terminal: no number is cut off."""
        super().print(*objects, crop=crop, **options)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Render as rich does, without the control characters of the text itself.

        In a terminal that is narrower than usual, tables would lose words: they are as wide there
        as in a usual one. A bar of progress has no box, and is not wider than the terminal.
        """
        if isinstance(renderable, Table) and renderable.box is not None:
            options = options or self.options
            options = options.update(width=max(options.max_width, USUAL_WIDTH))
        for segment in super().render(renderable, options):
            plain = segment.text if segment.control else printable(segment.text)
            yield segment._replace(text=plain)


class PlainFormatter(logging.Formatter):
    """The message of a log record in one line, without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the message."""
        return one_sentence(super().format(record))
