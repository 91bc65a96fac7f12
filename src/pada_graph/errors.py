"""The two ways a run ends early. The command line turns them into exit status 2 and 1 (no traceback).

They are also Python's ValueError and RuntimeError: LangGraph's server blots out the message of any class but a few of
Python's own, so that Studio would show "An internal error occurred".
"""


class PadaError(Exception):
    """Base of the errors whose message is written for the user: what failed, where, and how to mend it."""


class InputError(PadaError, ValueError):
    """Bad input or configuration, nearly always found before anything starts.

    The message names file, row or key, and the fix.
    """


class StoppedError(PadaError, RuntimeError):
    """The run stopped before its end; everything finished is kept and the same command resumes it."""


class DivergedError(StoppedError):
    """Training came to a loss or gradient that is not finite; it would do so again."""


class OutOfMemoryError(StoppedError):
    """Training did not fit into the memory of this machine."""
