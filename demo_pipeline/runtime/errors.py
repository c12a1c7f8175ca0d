"""Ends of the demo that a person caused or can mend."""


class DemoError(Exception):
    """The demo cannot go on; the message is one line that says why and what to do."""


class UsageError(DemoError):
    """The demo was asked for something that it cannot do as asked."""


class StoppedError(DemoError):
    """Somebody stopped the demo before it was done."""


class BrokerError(Exception):
    """There is no broker to talk to; the message says why and what to do."""
