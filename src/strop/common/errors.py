"""The ways in which strop gives up, each with the exit code that the command line turns it into."""

import errno
from traceback import walk_tb

STORAGE = {
    errno.ENOSPC: "no space is left",
    errno.EDQUOT: "the quota is used up",
    errno.EROFS: "it is read-only",
    errno.EACCES: "permission was denied",
    errno.EPERM: "that is not permitted",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "the link leads in a circle",
}
"""What the place that was written to has to say about it; any other OSError is a failure inside."""


USERS = ("strop_plugin_", "strop_reward_")
"""What the names of modules begin with that are read from files which a recipe names."""


class InputError(ValueError):
    """Bad usage or bad input (exit code 2).

    The message is one readable sentence that names the place (``file:line`` where there is one) and the mend;
    it is printed as it stands, without a traceback.
    """

    exit_code = 2


def raised(error: BaseException) -> str:
    """What somebody's code raised, in a word or more: ``ValueError: too long``, ``SystemExit: sys.exit(0)``."""
    said = f"sys.exit({error.code!r})" if isinstance(error, SystemExit) else str(error)
    return f"{type(error).__name__}: {said}".removesuffix(": ")


def ended_by(error: SystemExit) -> str:
    """What to say where code that a verb called would end the program: its place, and what to do instead."""
    passed = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    file, line = next(place for place in reversed(passed) if not place[0].startswith("<frozen"))  # `exit` has one
    return (
        f"{file}:{line}: raised {raised(error)}, which would end strop too; return there, or raise "
        "an error that says what is wrong."
    )


def line_in(file: str, error: BaseException) -> str:
    """``:LINE`` of the last line of the file that the error passed, or that cannot be parsed; nothing where none is."""
    if isinstance(error, SyntaxError) and error.filename == file and error.lineno:
        return f":{error.lineno}"
    lines = [line for frame, line in walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
    return f":{lines[-1]}" if lines else ""


def blamed(error: BaseException) -> str | None:
    """What to say where a file of the user's own (a plug-in, a reward, an objective) raised: its place, the function,
    and what it raised. None where the last of strop's or the user's lines that it passed is strop's."""
    steps = walk_tb(error.__traceback__)
    passed = [(str(frame.f_globals.get("__name__")), frame.f_code, line) for frame, line in steps]
    known = [one for one in passed if one[0].startswith(USERS) or one[0].partition(".")[0] == "strop"]
    if not known or not known[-1][0].startswith(USERS):
        return None
    _, code, line = known[-1]
    return f"{code.co_filename}:{line}: {code.co_name} raised {raised(error)}; mend it, and run the same command again."


class NotReachable(InputError):
    """Data that are not where they are said to be: no such file, or a hub that does not answer."""


class NotFinite(InputError):
    """Log-probabilities that are NaN or infinite."""


class Interrupted(Exception):
    """A signal asked the run to stop and a checkpoint is written (exit code 128 + ``signum``)."""

    def __init__(self, signum: int, message: str):
        super().__init__(message)
        self.signum, self.exit_code = signum, 128 + signum


class Diverged(Exception):
    """Training produced numbers that are none (exit code 1); the message says where, what to lower and what is kept."""

    exit_code = 1


class RollBack(Exception):
    """A source asks the training loop to go back to a checkpoint of step ``before`` or earlier, and on from there.

    ``reason``: what was raised, in a sentence; ``most``: how often a run may go back, after which it stops;
    ``lr_factor``: what learning rates are multiplied by from then on; ``unsound``: the weights of now are not worth a
    checkpoint.
    """

    def __init__(self, reason: str, before: int, most: int, lr_factor: float = 1.0, *, unsound: bool = False):
        super().__init__(reason)
        self.reason, self.before, self.most, self.lr_factor = reason, before, most, lr_factor
        self.unsound = unsound


class Stopped(Exception):
    """What is measured is left off, since a signal came; the run measures it again when it goes on."""


class Halted(Exception):
    """A source asks the training loop to write a checkpoint and to stop (exit code 1); the message says why."""

    exit_code = 1


class Elsewhere(Exception):
    """Another process of this run failed and has told why; this one leaves with its ``exit_code``, without a word."""

    def __init__(self, exit_code: int):
        super().__init__("another process of this run failed")
        self.exit_code = exit_code
