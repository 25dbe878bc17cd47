"""Encoders, and what makes them quick: no padding, masks that cost little."""
