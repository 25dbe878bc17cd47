"""The course as files: notebooks from masters, releases, a student's own copy, hand-ins, running and publishing.

Does not teach (solutions/), does not judge (labkit.checks) and does not grade in a jail. masters, build and release are an
instructor's; copies, merge, hand_in and checking a student's, and need nothing but what the notebooks need themselves.
"""
