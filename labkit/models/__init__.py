"""Encoders and what makes them quick: a forward pass without padding, cheap dropout masks."""
