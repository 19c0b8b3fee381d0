"""What the stages raise, sorted by what the caller can do about it."""


class Error(Exception):
    """Whatever a stage refuses or fails at. The message says where, what, got, expected and what helps."""


class InternalError(Error, RuntimeError):
    """A defect of plasticity."""


class UsageError(Error, ValueError):
    """The request itself."""


class MissingError(Error, FileNotFoundError):
    """An input is not there."""


class MalformedError(Error, ValueError):
    """An input is not what it claims to be."""


class InfeasibleError(Error):
    """Nothing fits the budget; the message says what would."""


class IoError(Error, OSError):
    """Reading or writing failed, or the disk is full."""


class Cancelled(Error):
    """A callback returned False."""
