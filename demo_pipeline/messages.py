"""All that travels between the services."""

from demo_pipeline.commands import Command
from demo_pipeline.events import Event

Message = Event | Command
