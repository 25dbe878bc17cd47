"""The warm-up of lesson 00, which earns no points and is no part of the progress view."""
