"""Python in README.md and docs/*.md runs as a test, page by page, top to bottom."""

import os

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser, SkipParser

if "PYTEST_XDIST_WORKER" in os.environ:
    # The processes that share the tests share the cores too. Before anything imports torch.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_collect_file = Sybil(
    parsers=[PythonCodeBlockParser(), SkipParser()],
    patterns=["README.md", "docs/*.md"],
).pytest()
