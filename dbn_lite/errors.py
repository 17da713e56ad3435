"""The one exception for what a user can put right."""


class InputError(ValueError):
    """Bad input: the message is one sentence that names the culprit and the remedy.

    The command line prints it without a traceback and exits with code 2.
    """
