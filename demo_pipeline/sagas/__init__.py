"""The orchestrated saga that places an order: its steps as data, its moves as a pure function."""
