"""The evolution of schemas: their history, what may change, and the gate that checks it."""
