"""This course: what a lesson starts from, its profiles, stand-ins and checks.

The checks stand in exercises/ (what is right) and observers/ (what runs beside a student's code). The public names
stand in `__init__.pyi`. Each is imported when it is first used, so that observers/ can be had without the rest, as
beside a student's code.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
