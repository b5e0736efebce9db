"""Errors that a sentence explains, and the request to stop."""

EX_TEMPFAIL = 75
"""Exit code of a command that stopped on request and kept its work (sysexits.h)."""


class FacelimeError(Exception):
    """What the command points to is wrong: the text says what, the value, and what to do next.

    Attributes
    ----------
    exit_code : int
        What the process answers with.
    """

    exit_code = 1


class CommandLineError(FacelimeError):
    """An option's value that does not have the option's form."""

    exit_code = 2


class NotFoundError(FacelimeError):
    """A reference or a source that is not there."""


class AmbiguousError(FacelimeError):
    """A reference that could be several things."""


class WrongKindError(FacelimeError):
    """A reference to an artifact that this stage cannot read."""


class IncompleteError(FacelimeError):
    """An input whose own stage has not finished."""


class BrokenError(FacelimeError):
    """Stored bytes that are not what their digest or their format says."""


class BusyError(FacelimeError):
    """A unit of work that another live process holds."""


class StopRequested(KeyboardInterrupt):
    """SIGTERM, SIGINT or a time budget: keep what is done, then exit 75.

    Attributes
    ----------
    device_busy : bool
        Whether a call still runs that nothing can interrupt, on the device or on a file of a network: the process
        leaves without waiting.
    """

    # A KeyboardInterrupt, so that `except Exception` in any library lets it pass.
    device_busy = False


def first_line(why: BaseException | None) -> str:
    """Return the first line of what an exception says.

    Parameters
    ----------
    why : BaseException or None
        The exception.

    Returns
    -------
    str
        Without a full stop, to stand inside a sentence; the type's name when it says nothing.
    """
    text = str(why).strip() or type(why).__name__
    return text.splitlines()[0].rstrip(".")
