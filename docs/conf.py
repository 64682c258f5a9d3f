"""How the pages are built."""

import tomllib
from pathlib import Path

from sphinx.application import Sphinx

_project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]

project = "multiview-geom"
author = "The multiview-geom authors"
release = _project["version"]
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["code.css"]
html_title = f"multiview-geom {release}"
exclude_patterns = ["figures/*.py"]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
# Shapes stand in the signature; repeated below it, their stars would be read as emphasis.
napoleon_attr_annotations = False
# "Pixels [px]: ..." in a Returns section is a sentence, not a type.
napoleon_use_rtype = False
# Names of other libraries, whose pages are not at hand offline, of axes, and of what is not public.
nitpick_ignore_regex = [
    ("py:.*", r"(torch|jaxtyping|collections|pathlib|typing|types|enum|selfsup_lifting)\..*"),
    ("py:class", r".*['\[].*"),
]
nitpick_ignore = [
    *(("py:class", name) for name in ("Tensor", "Float", "Bool", "Int", "Path", "Axes", "Axes3D")),
    ("py:exc", "ReadError"),
    ("py:class", "multiview_geom.bundle_adjustment.priors.Prior"),
    ("py:class", "multiview_geom._view_names.Array"),
    ("py:exc", "Stopped"),
]


def setup(app: Sphinx) -> None:
    """Leave out the fields of named tuples: Python documents them as "Alias for field number 0"."""
    app.connect(
        "autodoc-skip-member",
        lambda _app, _what, _name, member, skip, _options: (
            skip or type(member).__name__ == "_tuplegetter"
        ),
    )
