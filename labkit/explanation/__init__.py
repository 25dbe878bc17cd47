"""Which words moved a prediction, and whether to believe it.

Not named explain: as a submodule it would take the place of the function `labkit.explain`.
"""
