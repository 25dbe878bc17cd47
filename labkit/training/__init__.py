"""The loop, and what it stands on: settings, precision, the optimizer, memory, checkpoints."""
