"""Train, evaluate, predict: the same verbs as the shell."""

from selfsup_lifting.config import Config as Config
from selfsup_lifting.config import ReadSettings as ReadSettings
from selfsup_lifting.skeletons import SKELETONS as SKELETONS
from selfsup_lifting.skeletons import Skeleton as Skeleton
from selfsup_lifting.recordings import Recording as Recording
from selfsup_lifting.recordings import load_recording as load_recording
from selfsup_lifting.recordings import save_recording as save_recording
from selfsup_lifting.readers import read_recordings as read_recordings
from selfsup_lifting.training import train as train
from selfsup_lifting.checkpoint import load_lifter as load_lifter
from selfsup_lifting.evaluation import evaluate_lifter as evaluate_lifter
from selfsup_lifting.inference import lift as lift
