"""Train, evaluate, predict: the same verbs as the shell."""

from selfsup_lifting.config import Config as Config
from selfsup_lifting.config import ReadSettings as ReadSettings
from selfsup_lifting.skeleton.skeletons import SKELETONS as SKELETONS
from selfsup_lifting.skeleton.skeletons import Skeleton as Skeleton
from selfsup_lifting.recording import Recording as Recording
from selfsup_lifting.recording import load_recording as load_recording
from selfsup_lifting.recording import save_recording as save_recording
from selfsup_lifting.files import read_recordings as read_recordings
from selfsup_lifting.training.loop import train as train
from selfsup_lifting.training.checkpoint import load_lifter as load_lifter
from selfsup_lifting.evaluation.evaluate import evaluate_lifter as evaluate_lifter
from selfsup_lifting.inference import lift as lift
