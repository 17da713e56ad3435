"""The one error for bad input, and the check of whole numbers that raises it."""

import operator
from typing import Any


class InputError(ValueError):
    """Bad input: the message is one sentence that names the culprit and the remedy.

    The command line prints it without a traceback and exits with code 2.
    """


def whole(name: str, value: Any, least: int = 1) -> int:
    """`value` as an int, if it is a whole number of at least `least`; raises InputError, naming it, if not."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise InputError(f"{name} is {value!r}; give a whole number of at least {least}.")
    return number
