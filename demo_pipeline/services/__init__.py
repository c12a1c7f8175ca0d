"""The five services of the shop."""

from collections.abc import Mapping
from typing import Final

from demo_pipeline.service import Service
from demo_pipeline.services import analytics, inventory, orders, payment, shipping

SERVICES: Final[Mapping[str, Service]] = {
    module.SERVICE.name: module.SERVICE
    for module in (orders, inventory, payment, shipping, analytics)
}
"""All services by name, in the order in which an order passes through them."""
