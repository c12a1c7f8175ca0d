"""Errors that a user caused or can fix; each message says how."""


class DemoError(Exception):
    """The demo cannot go on; the message says in one line why and what to do."""


class UsageError(DemoError):
    """The command line or the environment asks for something impossible."""


class StoppedError(DemoError):
    """The user stopped the demo before it was done."""


class BrokerError(Exception):
    """There is no usable broker; the message says why and what to do."""
