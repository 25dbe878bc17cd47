"""From a file of reviews to a batch: assets, readers, reviews, tokens, datasets, batching."""
