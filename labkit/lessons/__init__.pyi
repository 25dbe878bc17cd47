"""The public names of labkit.lessons, read by type checkers and by the import that waits for their first use."""

from .lesson import Lesson as Lesson, open_lesson as open_lesson
from .continuing import course_map as course_map
from .choose_profile import choose_profile as choose_profile
