"""What can be trained on and measured: prompts, tests, splits."""

from strop.tasks.records import Record, TestCase, load_records, write_records

__all__ = ["Record", "TestCase", "load_records", "write_records"]
