"""Gate gradients of query heads by PyTorch: the second producer of plasticity's gate_gradients.json."""

from .artifact import FineTune, GateGradients, ScoreProvenance
from .callback import GateGradientCallback
from .capture import GateGradientCapture
from .errors import ErrorKind, TrainerError

__all__ = [
    "ErrorKind",
    "FineTune",
    "GateGradientCallback",
    "GateGradientCapture",
    "GateGradients",
    "ScoreProvenance",
    "TrainerError",
]
