"""plasticity compresses a language model for one task and one device into one GGUF.

Five stages, each a function from files to a file: score, plan, compress, verify, infer. Ctrl-C raises KeyboardInterrupt
within them, and nothing half-written is left.
"""

from importlib.metadata import version

from plasticity._errors import (
    Cancelled,
    Error,
    InfeasibleError,
    InternalError,
    IoError,
    MalformedError,
    MissingError,
    UsageError,
)
from plasticity._native import (
    ChannelStatistics,
    CurvatureStatistics,
    GateGradients,
    Statistics,
    load_gate_gradients,
    load_statistics,
)
from plasticity._results import CompressResult, InferResult, Progress, Report
from plasticity._stages import compress, infer, plan, score, verify

__version__ = version("plasticity")

__all__ = [
    "Cancelled",
    "ChannelStatistics",
    "CompressResult",
    "CurvatureStatistics",
    "Error",
    "GateGradients",
    "InfeasibleError",
    "InferResult",
    "InternalError",
    "IoError",
    "MalformedError",
    "MissingError",
    "Progress",
    "Report",
    "Statistics",
    "UsageError",
    "__version__",
    "compress",
    "infer",
    "load_gate_gradients",
    "load_statistics",
    "plan",
    "score",
    "verify",
]
