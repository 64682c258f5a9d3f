"""What a report says about how it was made: settings, versions, the command."""

import platform
from collections.abc import Sequence
from importlib.metadata import version

from selfsup_lifting.config_toml import setting_rows
from selfsup_lifting.report.page import Section, code, paragraph, table

PACKAGES = ("multiview-geom", "torch", "numpy", "scipy", "kornia", "numba", "matplotlib")


def settings_section(note: str, settings: object, *others: object) -> Section:
    """List the settings that differ from their defaults; of the first, also those with a source."""
    rows = [row for row in setting_rows(settings) if row.source or row.value != row.default]
    rows += [row for one in others for row in setting_rows(one) if row.value != row.default]
    cells = [
        (row.name, row.value, "" if row.value == row.default else row.default, row.source)
        for row in rows
    ]
    headings = ("setting", "value", "instead of", "source of the default")
    return Section("Settings", (paragraph(note), table(headings, cells, words=True)))


def reproduction_section(commands: Sequence[str]) -> Section:
    """Say how to do it again, and with which versions it was done."""
    rows = [("Python", platform.python_version()), *((name, version(name)) for name in PACKAGES)]
    rows.append(("machine", platform.platform()))
    parts = (code("\n".join(commands)), table(("program", "version"), rows, words=True))
    return Section("How to reproduce", parts)
