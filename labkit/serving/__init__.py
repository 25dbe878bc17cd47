"""A saved model that answers."""
