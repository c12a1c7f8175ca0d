"""What can be seen of sagas: of any orchestrator, and of flows that nobody orchestrates."""
