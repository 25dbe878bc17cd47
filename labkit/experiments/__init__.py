"""Whole runs: fine-tuning into a folder, folds and seeds, the main job."""
