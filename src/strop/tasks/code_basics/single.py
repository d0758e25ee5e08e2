"""The single families, each an idea of its own: records that were drawn once and are read from `frozen/`.

The files there are those that `strop.tasks.records` reads, with the family's `topic` in each row; a row with
`generator` says where the others come from.

`drawn.jsonl.gz` comes from the generator that stood in this package at commit ab2a89bc010b, a function for each family.
There, `generate("train", 24 * len(TRAIN_FAMILIES), 0)` and then `generate("test", 8 * len(TEST_FAMILIES), seed)` for
the seeds 0, 1 and 2 give its rows: the records with the source `code_basics.single`, sorted by their family's place in
`FAMILIES`, each as `{"topic": FAMILIES[family].topic} | record.to_row()`. With these seeds `generate` gives what that
generator gave.

To add a family, put a file of at least 24 records of it (fewer lower the limit of `generate`) into `frozen/`. It joins
the training split unless `held_out` names it, and the project's tests run and check its records. Which problems a seed
gives changes whenever rows or families are added, changed or removed.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from random import Random

from strop.data.files import open_rows
from strop.data.rows import Row
from strop.tasks.fields import check_text
from strop.tasks.records import Record, parse_record

FOLDER = Path(__file__).with_name("frozen")


@cache
def frozen(folder: Path = FOLDER) -> dict[str, list[Row]]:
    """The rows of each family, in the order of the files. They become records when they are used, which takes longer.

    Raises InputError for a row without family, topic or name.
    """
    found: dict[str, list[Row]] = {}
    for place, row in open_rows(folder):
        if "generator" not in row:
            for field in ("family", "topic", "name"):
                check_text(row.get(field), field, place, empty=False)
            found.setdefault(row["family"], []).append((place, row))
    return found


def topics() -> dict[str, str]:
    """The topic of every family by its name."""
    return {family: rows[0][1]["topic"] for family, rows in frozen().items()}


def in_order(family: str, seed: int) -> Iterator[Record]:
    """Each record of a family once: first those that were drawn with the seed, as they were, then the others, shuffled.

    Names are `code_basics/FAMILY/SEED-INDEX`.
    """
    own: list[Row] = []
    others: list[Row] = []
    for place, row in frozen()[family]:
        (own if f"/{seed}-" in row["name"] else others).append((place, row))
    for place, row in own + Random(f"{family} {seed}").sample(others, len(others)):
        yield parse_record(row, place)
