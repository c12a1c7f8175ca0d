"""Export: encoding and sending telemetry, counting what is lost, and the shutdown."""
