"""Encoders and what makes them quick: a forward pass without padding, sixteen-bit dropout masks."""
