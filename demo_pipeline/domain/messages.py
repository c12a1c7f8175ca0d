"""All that travels between the services."""

from demo_pipeline.domain.commands import Command
from demo_pipeline.domain.events import Event

Message = Event | Command
