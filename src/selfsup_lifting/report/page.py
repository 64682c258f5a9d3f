"""Build a page of sections, tables and figures that contains everything it needs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from selfsup_lifting.atomic_write import replacing
from selfsup_lifting.page_template import filled_page, page_data, page_text

TEMPLATE = "page.html"


@dataclass(frozen=True)
class Section:
    """A part of a page.

    Attributes:
        title: Its heading.
        parts: Its content, as HTML.
    """

    title: str
    parts: tuple[str, ...]


def save_report(
    path: Path,
    title: str,
    lead: Sequence[str],
    sections: Sequence[Section],
    data: Mapping[str, Any],
) -> None:
    """Write a page.

    Args:
        path: The file; an existing file is replaced.
        title: The title.
        lead: The first lines, as HTML: what was done, and how well.
        sections: The sections; those without content are left out.
        data: The numbers of the page for programs: the element with the id "data".
    """
    shown = [section for section in sections if any(section.parts)]
    links = "".join(
        f'<a href="#part-{place}">{page_text(section.title)}</a> '
        for place, section in enumerate(shown)
    )
    body = [f"<h1>{page_text(title)}</h1>", *lead, f"<nav>{links}</nav>"]
    for place, section in enumerate(shown):
        heading = f'<h2 id="part-{place}">{page_text(section.title)}</h2>'
        body.append("\n".join(["<section>", heading, *section.parts, "</section>"]))
    text = filled_page(
        "selfsup_lifting.report", TEMPLATE,
        title=page_text(title), body="\n".join(body), data=page_data(data),
    )  # fmt: skip
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def paragraph(text: str, kind: str = "") -> str:
    """Return a paragraph; a kind is "lead", "note" or "warning"."""
    return f'<p class="{kind}">{page_text(text)}</p>' if kind else f"<p>{page_text(text)}</p>"


def code(text: str) -> str:
    """Return a block of code."""
    return f"<pre><code>{page_text(text)}</code></pre>"


def figures(*parts: str) -> str:
    """Return figures beside each other, or below each other on a narrow screen."""
    return f'<div class="figures">{"".join(parts)}</div>'


def table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "", words: bool = False
) -> str:
    """Return a table of formatted cells.

    Args:
        headings: The headings of the columns.
        rows: The cells.
        title: The caption.
        words: Whether the cells are words, aligned left, instead of numbers.
    """
    head = "".join(f"<th>{page_text(cell)}</th>" for cell in headings)
    lines = ["".join(f"<td>{page_text(cell)}</td>" for cell in row) for row in rows]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    caption = f"<caption>{page_text(title)}</caption>" if title else ""
    kind = ' class="words"' if words else ""
    return (
        f'<div class="scroll"><table{kind}>{caption}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )
