"""Curves of a training for TensorBoard; unlike TensorBoard's own, the files name no computer."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from selfsup_lifting.run_files import GROWING

# What TensorBoard looks for in the name of a file, and the version of what is in it.
NAME, VERSION = f"{GROWING}.out.tfevents", "brain.Event:2"


class Curves:
    """A file of scalars by epoch.

    Attributes:
        path: The file.
    """

    def __init__(self, folder: Path) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        self.path = folder / f"{NAME}.{time.time_ns()}.{os.getpid()}"
        self._writer = RecordWriter(self.path.open("xb"))
        self._write(file_version=VERSION)

    def add(self, epoch: int, scalars: Mapping[str, float]) -> None:
        """Append the scalars of an epoch."""
        values = [self._summary.Value(tag=tag, simple_value=one) for tag, one in scalars.items()]
        self._write(step=epoch, summary=self._summary(value=values))

    def flush(self) -> None:
        """Write what was appended to the file."""
        self._writer.flush()

    def close(self) -> None:
        """Close the file."""
        self._writer.close()

    def _write(self, **fields: Any) -> None:  # noqa: ANN401 - the fields of an event
        event = self._event(wall_time=time.time(), **fields)
        self._writer.write(event.SerializeToString())
