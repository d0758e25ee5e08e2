"""What can be trained on and measured: prompts, tests, splits."""

from strop.tasks.files import TaskFile, load_tasks, open_task, what_tasks
from strop.tasks.records import Record, TestCase, load_records, write_records

__all__ = ["Record", "TaskFile", "TestCase", "load_records", "load_tasks", "open_task", "what_tasks", "write_records"]
