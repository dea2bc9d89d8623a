"""The tools of the course *Two Lessons from Deep Learning*: `python -m course --help`."""

from course.loading import load
from course.notebooks import CourseError

__all__ = ["CourseError", "load"]
