"""The one error for bad input, and the check of whole numbers that raises it."""

import operator
from typing import Any


class InputError(ValueError):
    """Bad input: the message is one sentence that names the culprit and the remedy.

    The command line prints it without a traceback and exits with code 2.
    """


ROUNDING = 1e-4  # what a probability or a pixel may lie beyond 0 or 1: other libraries round in other ways
MOST = 10**6  # chains, iterations, units: more is a slip, and would fill the memory or never end


def whole(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """`value` as an int, if it is a whole number of at least `least`; raises InputError, naming it, if not.

    With `most` it must not be above that either.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise InputError(f"{name} is {value!r}; give a whole number of at least {least}.")
    if most is not None and number > most:
        raise InputError(f"{name} is {value!r}; give a whole number of at most {most}.")
    return number
