"""Values out of tables as JSON holds them: what JSON has no word for is written as text, and counted."""

from __future__ import annotations

import base64
import math
from collections import Counter
from collections.abc import Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID


def plain(value: Any, changed: Counter[str]) -> Any:
    """``value`` made of what JSON has; ``changed`` counts what had to be written otherwise, in words."""
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): plain(item, changed) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, changed) for item in value]
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        if math.isfinite(value):
            return value
        changed["numbers that are none (NaN, infinity), as null"] += 1
        return None
    if isinstance(value, datetime | date | time):
        changed["dates and times, as text (ISO 8601)"] += 1
        return value.isoformat()
    if isinstance(value, timedelta):
        changed["durations, as seconds"] += 1
        return value.total_seconds()
    if isinstance(value, Decimal | UUID):
        changed["decimals and ids, as text"] += 1
        return str(value)
    if isinstance(value, bytes | bytearray | memoryview):
        changed["binary values, as base64 text"] += 1
        return base64.b64encode(bytes(value)).decode("ascii")
    changed[f"values of type {type(value).__name__}, as text"] += 1
    return str(value)
