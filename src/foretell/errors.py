"""The one error that is the user's to mend."""


class ForetellError(ValueError):
    """A request that cannot be carried out as given.

    The message is one line: what was given, what was expected, and the next step.
    The command line prints it and exits with 2; the library raises it.
    """


class Undefined(ArithmeticError):
    """A quantity or score that does not exist for this model and batch; the message is why."""
