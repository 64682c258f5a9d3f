"""Train, evaluate and apply networks that lift 2D poses to 3D; the shell has the same commands.

A name is imported when it is first used, so `import selfsup_lifting` alone loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from selfsup_lifting.config import Config as Config
    from selfsup_lifting.read_settings import ReadSettings as ReadSettings
    from selfsup_lifting.skeleton.skeletons import SKELETONS as SKELETONS
    from selfsup_lifting.skeleton.skeletons import Skeleton as Skeleton
    from selfsup_lifting.recording import Recording as Recording
    from selfsup_lifting.recording_file import load_recording as load_recording
    from selfsup_lifting.recording_file import save_recording as save_recording
    from selfsup_lifting.files import read_recordings as read_recordings
    from selfsup_lifting.self_calibration.solve import calibrate_cameras as calibrate_cameras
    from selfsup_lifting.training.loop import train as train
    from selfsup_lifting.training.checkpoint import load_lifter as load_lifter
    from selfsup_lifting.evaluation.evaluate import evaluate_lifter as evaluate_lifter
    from selfsup_lifting.evaluation.metrics import mpjpe as mpjpe
    from selfsup_lifting.evaluation.metrics import p_mpjpe as p_mpjpe
    from selfsup_lifting.inference import lift as lift
    from selfsup_lifting.inference import lift_covariances as lift_covariances
    from selfsup_lifting.stream import PoseStream as PoseStream
    from selfsup_lifting.stream import StreamedPose as StreamedPose
    from selfsup_lifting.onnx_export import export_onnx as export_onnx

_NAMES_OF_MODULE = {
    "config": ("Config",),
    "read_settings": ("ReadSettings",),
    "skeleton.skeletons": ("SKELETONS", "Skeleton"),
    "recording": ("Recording",),
    "recording_file": ("load_recording", "save_recording"),
    "files": ("read_recordings",),
    "self_calibration.solve": ("calibrate_cameras",),
    "training.loop": ("train",),
    "training.checkpoint": ("load_lifter",),
    "evaluation.evaluate": ("evaluate_lifter",),
    "evaluation.metrics": ("mpjpe", "p_mpjpe"),
    "inference": ("lift", "lift_covariances"),
    "stream": ("PoseStream", "StreamedPose"),
    "onnx_export": ("export_onnx",),
}
_MODULE = {name: module for module, names in _NAMES_OF_MODULE.items() for name in names}
__all__ = list(_MODULE)


def __getattr__(name: str) -> object:
    if name not in _MODULE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULE})
