"""Tables of numbers."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import ints, table, yes_no
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import grid, rows

TABLE = "The first line contains r and c. Then r lines with c integers each."
PICTURE = "The first line contains r and c. Then r lines with c characters each."


@family()
def line_sums(rng: Random) -> Problem:
    line = rng.choice(("row", "column"))
    what, code, value = rng.choice(
        (("sum", "sum", sum), ("largest number", "max", max), ("smallest number", "min", min))
    )
    if line == "row":
        body = f"""
            r, c = map(int, input().split())
            for _ in range(r):
                a = list(map(int, input().split()))
                print({code}(a))
            """
    else:
        body = f"""
            r, c = map(int, input().split())
            g = [list(map(int, input().split())) for _ in range(r)]
            for j in range(c):
                print({code}(row[j] for row in g))
            """
    return Problem(
        say=(
            f"Print the {what} of each {line} of a table with r rows and c columns.",
            f"For every {line} of the table find its {what}.",
            f"A table of integers has r rows and c columns. What is the {what} in each {line}?",
        ),
        input=TABLE,
        output=f"Print one number per {line}, each on its own line.",
        case=lambda size: (table(rng, size),),
        edges=(([[4]],), ([[1, 2, 3]],), ([[1], [2], [3]],), ([[-1, -2], [-3, -4]],)),
        layout=grid,
        answer=lambda g: rows(*[value(cells) for cells in (g if line == "row" else zip(*g, strict=True))]),
        solution=body,
    )


@family()
def best_row(rng: Random) -> Problem:
    what, sign = rng.choice((("largest", ">"), ("smallest", "<")))
    story = rng.choice(("row", "class", "team"))
    pick = max if sign == ">" else min
    return Problem(
        say=(
            "Find the number of the row with the " + what + " sum. Rows are numbered from 1; in a tie take the first.",
            f"Each row of the table belongs to one {story}. Which row (from 1 to r) has the {what} total? Take the smallest number in a tie.",
            f"Print the index, starting from 1, of the row whose sum is the {what} (the first one if there are several).",
        ),
        input=TABLE,
        output="Print the row number.",
        case=lambda size: (table(rng, size),),
        edges=(([[4]],), ([[1, 1], [2, 0]],), ([[1], [2], [3]],), ([[3, 3], [1, 2], [4, 4]],)),
        layout=grid,
        answer=lambda g: [sum(row) for row in g].index(pick(sum(row) for row in g)) + 1,
        solution=f"""
            r, c = map(int, input().split())
            sums = []
            for _ in range(r):
                sums.append(sum(map(int, input().split())))
            print(sums.index({"max" if sign == ">" else "min"}(sums)) + 1)
            """,
    )


@family()
def transpose(rng: Random) -> Problem:
    return Problem(
        say=(
            "Swap the rows and the columns of the table: the first row becomes the first column, and so on.",
            "Transpose the table. Its columns are printed as rows.",
            "Print the table so that each column, read from top to bottom, becomes a row.",
        ),
        input=TABLE,
        output="Print c lines with r numbers each.",
        case=lambda size: (table(rng, size),),
        edges=(([[4]],), ([[1, 2, 3]],), ([[1], [2], [3]],)),
        layout=grid,
        answer=lambda g: rows(*zip(*g, strict=True)),
        solution="""
            r, c = map(int, input().split())
            g = [input().split() for _ in range(r)]
            for j in range(c):
                print(*[g[i][j] for i in range(r)])
            """,
    )


def _square(rng: Random, size: int) -> list[list[int]]:
    n = rng.randint(2, 3) if 3 <= size <= 5 else rng.randint(1, 5)
    return [ints(rng, n, 0, 9) for _ in range(n)]


def _square_text(g: list[list[int]]) -> str:
    return rows(len(g), *g)


@family()
def diagonal(rng: Random) -> Problem:
    main = rng.random() < 0.6
    corners = "top left to bottom right" if main else "top right to bottom left"
    what, code, value = rng.choice(
        (("sum", "sum", sum), ("largest number", "max", max), ("smallest number", "min", min))
    )
    return Problem(
        say=(
            f"Find the {what} on the diagonal of a square table that goes from {corners}.",
            f"What is the {what} of the diagonal from {corners}?",
            f"Look at the numbers on the line from {corners} in an n x n table and print their {what}.".replace(
                "their largest", "the largest"
            ).replace("their smallest", "the smallest"),
        ),
        input="The first line contains n. Then n lines with n integers each.",
        output="Print one integer.",
        case=lambda size: (_square(rng, size),),
        edges=(([[4]],), ([[1, 2], [3, 5]],), ([[0, 0, 7], [0, 8, 0], [9, 0, 1]],)),
        layout=_square_text,
        answer=lambda g: value(row[i if main else -1 - i] for i, row in enumerate(g)),
        solution=f"""
            n = int(input())
            g = [list(map(int, input().split())) for _ in range(n)]
            print({code}(g[i][{"i" if main else "n - 1 - i"}] for i in range(n)))
            """,
    )


@family("medium")
def symmetric(rng: Random) -> Problem:
    yes, no = yes_no(rng)

    def case(size: int) -> tuple[list[list[int]]]:
        g = _square(rng, size)
        n = len(g)
        h = [[g[min(i, j)][max(i, j)] for j in range(n)] for i in range(n)]
        if rng.random() < 0.5:
            h[-1][0] += 1
        return (h,)

    return Problem(
        say=(
            "A square table is symmetric if the number in row i, column j always equals the number in row j, column i. Is the table symmetric?",
            "Check whether an n x n table stays the same when its rows and columns are exchanged.",
            "Is each row of the n x n table equal to the column with the same number?",
        ),
        input="The first line contains n. Then n lines with n integers each.",
        output=f"Print {yes} or {no}.",
        case=case,
        edges=(([[4]],), ([[1, 2], [2, 5]],), ([[1, 2], [3, 1]],), ([[0, 1, 2], [1, 0, 3], [2, 4, 0]],)),
        layout=_square_text,
        answer=lambda g: yes if [list(column) for column in zip(*g, strict=True)] == g else no,
        solution=f"""
            n = int(input())
            g = [list(map(int, input().split())) for _ in range(n)]
            ok = True
            for i in range(n):
                for j in range(n):
                    if g[i][j] != g[j][i]:
                        ok = False
            print("{yes}" if ok else "{no}")
            """,
    )


@family()
def times_table(rng: Random) -> Problem:
    op, sign, value = rng.choice((("product", "*", lambda i, j: i * j), ("sum", "+", lambda i, j: i + j)))
    return Problem(
        say=(
            f"Print a table with r rows and c columns. The number in row i and column j is the {op} of i and j (both counted from 1).",
            f"Make the {'multiplication' if sign == '*' else 'addition'} table of the numbers 1 to r (rows) and 1 to c (columns).",
            f"For i from 1 to r print one line with the numbers i {sign} 1, i {sign} 2, ..., i {sign} c.",
        ),
        input="Two integers r and c on one line.",
        output="Print r lines with c numbers each, separated by spaces.",
        case=lambda size: (rng.randint(1, min(size, 4)), rng.randint(1, size)),
        edges=((1, 1), (1, 4), (3, 1), (5, 5)),
        layout=lambda r, c: f"{r} {c}",
        answer=lambda r, c: rows(*[[value(i, j) for j in range(1, c + 1)] for i in range(1, r + 1)]),
        solution=f"""
            r, c = map(int, input().split())
            for i in range(1, r + 1):
                print(*[i {sign} j for j in range(1, c + 1)])
            """,
    )
