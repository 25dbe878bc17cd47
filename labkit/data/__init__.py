"""From a file of reviews to a batch of tokens."""
