"""Settings, precision, optimizer, memory, checkpoints, and the loop itself."""
