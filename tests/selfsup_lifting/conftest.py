"""What the tests of the trainer share."""

from collections.abc import Iterator

import pytest

from selfsup_lifting.report import drawing

# The folder whose tests look at figures as a reader sees them.
ARRANGED = "report"


@pytest.fixture(autouse=True, scope="module")
def _figures_are_not_arranged(request: pytest.FixtureRequest) -> Iterator[None]:
    """Draw all figures, but arrange them, which takes longer, in the tests of reports alone."""
    with pytest.MonkeyPatch.context() as patch:
        if request.path.parent.name != ARRANGED:
            patch.setattr(drawing, "arrange", lambda figure: figure.set_layout_engine(None))
        yield
