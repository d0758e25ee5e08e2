"""What the crossed families do with a list (see `crossing.Use`)."""

from strop.tasks.code_basics.crossing import Use

LIST_USES = {
    "line": Use(
        say=("Print {items} on one line.", "Print {items}, separated by spaces.", "Output {items} in their order."),
        output="Print them on one line, separated by spaces.",
        code="print(*b)",
        value=lambda b, a: b,
    ),
    "lines": Use(
        say=(
            "Print {items}, each on its own line.",
            "Print {items}, one per line.",
            "Output {items}, every one on a line of its own.",
        ),
        output="Print one per line.",
        code="for x in b:\n    print(x)",
        value=lambda b, a: "\n".join(map(str, b)),
    ),
    "first": Use(
        say=("Print the first of {items}.", "Of {items}, print the first.", "Which is the first of {items}?"),
        output="Print one line.",
        code="print(b[0])",
        value=lambda b, a: next(iter(b)),
    ),
    "last": Use(
        say=("Print the last of {items}.", "Of {items}, print the last.", "Which is the last of {items}?"),
        output="Print one line.",
        code="print(b[-1])",
        value=lambda b, a: next(reversed(b)),
    ),
    "backwards": Use(
        say=(
            "Print {items} in reverse order.",
            "Print {items} from the last to the first.",
            "Output {items} backwards, the last one first.",
        ),
        output="Print them on one line, separated by spaces.",
        code="print(*b[::-1])",
        value=lambda b, a: [*reversed(b)],
    ),
}
"""Uses of any list."""

PART_USES = {
    "count": Use(
        say=("Count {items}.", "How many {noun} {words}?", "Print how many of the {noun} {words}."),
        output="Print the count.",
        code="print(len(b))",
        value=lambda b, a: sum(1 for _ in b),
        needs_one=False,
    ),
    "any": Use(
        say=(
            "Print YES if there are {noun} that {words}, otherwise NO.",
            "Are there {noun} that {words}? Print YES or NO.",
            "Check whether any of the {noun} {words}. Print YES if so and NO if not.",
        ),
        output="Print YES or NO.",
        code='print("YES" if b else "NO")',
        value=lambda b, a: ("NO", "YES")[len(b) > 0],
        needs_one=False,
    ),
    "all": Use(
        say=(
            "Print YES if all {noun} {words}, otherwise NO.",
            "Is it true that all {noun} {words}? Print YES or NO.",
            "Check whether all of the {noun} {words}. Print YES if so and NO if not.",
        ),
        output="Print YES or NO.",
        code='print("YES" if len(b) == len(a) else "NO")',
        value=lambda b, a: ("NO", "YES")[b == a],
        needs_one=False,
    ),
    "drop": Use(
        say=(
            "Remove {items} and print the others.",
            "Leave out {items} and print the rest.",
            "Print all {noun} except those that {words}.",
        ),
        output="Print the others on one line, separated by spaces.",
        code="print(*[x for x in a if x not in b])",
        value=lambda b, a: [x for x in a if x not in set(b)],
        needs_one=False,
    ),
}
"""Uses that make sense where b is a part of a."""

NUMBER_USES = {
    "sum": Use(
        say=("Add up {items}.", "Print the sum of {items}.", "What is the sum of {items}?"),
        output="Print the sum.",
        code="print(sum(b))",
        value=lambda b, a: sum(sorted(b)),
        needs_one=False,
    ),
    "largest": Use(
        say=("Print the largest of {items}.", "Find the largest of {items}.", "What is the largest of {items}?"),
        output="Print one integer.",
        code="print(max(b))",
        value=lambda b, a: sorted(b)[-1],
    ),
    "smallest": Use(
        say=("Print the smallest of {items}.", "Find the smallest of {items}.", "What is the smallest of {items}?"),
        output="Print one integer.",
        code="print(min(b))",
        value=lambda b, a: sorted(b)[0],
    ),
    "sorted": Use(
        say=(
            "Print {items} in ascending order.",
            "Sort {items} and print them.",
            "Print {items} from the smallest to the largest.",
        ),
        output="Print them on one line, separated by spaces.",
        code="print(*sorted(b))",
        value=lambda b, a: [-y for y in sorted((-x for x in b), reverse=True)],
    ),
}
"""Uses of numbers."""

TEXT_USES = {
    "together": Use(
        say=(
            "Print {items} without anything between them.",
            "Write {items} directly after each other.",
            "Print {items}, joined without spaces.",
        ),
        output="Print one line.",
        code='print("".join(b))',
        value=lambda b, a: "".join(b),
    ),
    "dashes": Use(
        say=(
            "Print {items} with a dash between them.",
            "Join {items} with dashes.",
            'Print {items}, separated by "-".',
        ),
        output="Print one line.",
        code='print("-".join(b))',
        value=lambda b, a: "-".join(b),
    ),
}
"""Uses of words and characters."""
