"""Fill the template of a page with text and data, neither of which can act as markup."""

import html
import json
import re
from importlib.resources import files
from typing import Any

from selfsup_lifting.safe_text import encodable


def page_text(text: str) -> str:
    """Return text as HTML; the tags, quotes and ampersands in it are shown as they are.

    Example:
        >>> page_text("<b> & co")
        '&lt;b&gt; &amp; co'
    """
    return html.escape(text)


def page_data(plain: Any) -> str:  # noqa: ANN401 - anything JSON can say
    """Return JSON for a block of a page; nothing in it can end the block.

    Example:
        >>> "<" in page_data({"name": "</script>"})
        False
    """
    return json.dumps(plain, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def filled_page(package: str, template: str, **parts: str) -> str:
    """Fill a template.

    Args:
        package: The package that the template is in.
        template: Its file name; `__NAME__` in it is the place of a part.
        parts: The parts, by the names of their places in lower case. Such a name within a part is
            left as it is.

    Returns:
        The page.
    """
    text = template_of(package, template)
    return encodable(re.sub(r"__([A-Z]+)__", lambda place: parts[place[1].lower()], text))


def template_of(package: str, template: str) -> str:
    """Return the text of a template."""
    return files(package).joinpath(template).read_text(encoding="utf-8")
