"""Files of other programs, read as recordings."""

from selfsup_lifting.files.reading import READERS as READERS
from selfsup_lifting.files.reading import holds_recordings as holds_recordings
from selfsup_lifting.files.reading import read_recordings as read_recordings
from selfsup_lifting.files.reading import read_results as read_results
from selfsup_lifting.read_errors import ReadError as ReadError
