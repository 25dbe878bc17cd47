"""A small course on sorting, as strange to labkit's own as can be: its checks, and what its lessons call."""
