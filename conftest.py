"""Python in README.md and docs/*.md runs as a test, page by page, top to bottom."""

import os
from collections import Counter

import pytest
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

SHARED = "PYTEST_XDIST_WORKER" in os.environ
if SHARED:
    # The processes that share the tests share the cores too. Before anything imports torch.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],
).pytest()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests: one that begins last would be waited for."""
    if SHARED:
        slow = {item.path for item in items if item.get_closest_marker("slow")}
        count = Counter(item.path for item in items)
        items.sort(key=lambda item: (item.path not in slow, -count[item.path]))
