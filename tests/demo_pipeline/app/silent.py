"""A progress display that shows nothing."""


class Silent:
    """Shows nothing."""

    def step(self, what: str) -> None:
        """Take a step's name."""

    def placed(self) -> None:
        """Take an order that was placed."""

    def ended(self, orders: int) -> None:
        """Take the number of orders that have ended."""
