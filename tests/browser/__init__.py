"""Laws that need a browser."""
