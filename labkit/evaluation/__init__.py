"""What a score is worth: metrics, calibration, intervals, comparisons, behaviour.

Needs numpy, scipy and scikit-learn, never torch.
"""
