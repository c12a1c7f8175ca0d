"""The place-order saga: its steps as data, its state machine as a pure function."""
