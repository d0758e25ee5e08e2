"""Grids of characters."""

# ruff: noqa: E501  (a statement stays on one line: it is read as one sentence)

from random import Random

from strop.tasks.code_basics.draw import letters, picture
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import lined_picture, rows

TABLE = "The first line contains r and c. Then r lines with c integers each."

PICTURE = "The first line contains r and c. Then r lines with c characters each."


@family()
def count_cells(rng: Random) -> Problem:
    char, name = rng.choice((("#", "walls"), ("*", "stars"), ("T", "trees"), ("@", "stones")))
    return Problem(
        say=(
            f"A map has r rows and c columns. The character {char} marks {name}. Count the {name}.",
            f"How many cells of the grid are {char}?",
            f"In the picture, {char} stands for {name} and . for empty ground. Find the number of {name}.",
        ),
        input=PICTURE,
        output=f"Print the number of {name}.",
        case=lambda size: (picture(rng, size, f".{char}"),),
        edges=(([char],), (["."],), ([char * 3, char * 3],), ([".", char],)),
        layout=lined_picture,
        answer=lambda g: sum(c == char for row in g for c in row),
        solution=f"""
            r, c = map(int, input().split())
            count = 0
            for _ in range(r):
                count += input().count("{char}")
            print(count)
            """,
    )


@family()
def full_lines(rng: Random) -> Problem:
    char, name = rng.choice((("#", "black"), ("*", "lit"), ("X", "occupied")))
    need, test = rng.choice((("all", all), ("no", lambda cells: not any(cells))))
    verb = "are" if need == "all" else "is"
    cell = "cells" if need == "all" else "cell"
    return Problem(
        say=(
            f"In a grid, {char} is a cell that is {name}. Count the rows in which {need} {cell} {verb} {name}.",
            f"How many rows of the grid have {'only ' + char if need == 'all' else 'no ' + char}?",
            f"Find the number of rows where {need} {cell} {verb} {char}.",
        ),
        input=PICTURE,
        output="Print the number of rows.",
        case=lambda size: (
            [
                rng.choice((char * len(row), "." * len(row), letters(rng, len(row), f".{char}")))
                for row in picture(rng, size, ".")
            ],
        ),
        edges=(([char],), (["."],), ([char * 3, "..."],), ([f".{char}", f"{char}.", char * 2],)),
        layout=lined_picture,
        answer=lambda g: len([row for row in g if test([c == char for c in row])]),
        solution=f"""
            r, c = map(int, input().split())
            count = 0
            for _ in range(r):
                row = input().strip()
                if {f'"{char}" not in row' if need == "no" else f'row == "{char}" * c'}:
                    count += 1
            print(count)
            """,
    )


@family()
def find_cell(rng: Random) -> Problem:
    char, name = rng.choice((("S", "start"), ("X", "treasure"), ("K", "key"), ("R", "robot")))
    start = rng.choice((0, 1))

    def case(size: int) -> tuple[list[str]]:
        g = [list(row) for row in picture(rng, size, "..#")]
        rng.choice(g)[rng.randrange(len(g[0]))] = char
        return (["".join(row) for row in g],)

    return Problem(
        say=(
            f"The grid contains exactly one {char}, the {name}. Find its row and column, counted from {start}.",
            f"Where is the {name} {char}? Rows and columns are numbered from {start}.",
            f"Print the row and the column of the only {char} in the grid (both start from {start}).",
        ),
        input=PICTURE,
        output="Print the row and the column separated by a space.",
        case=case,
        edges=(([char],), ([f".{char}", ".."],), (["..", f"{char}."],)),
        layout=lined_picture,
        answer=lambda g: next((i, j) for i, row in enumerate(g, start) for j, c in enumerate(row, start) if c == char),
        solution=f"""
            r, c = map(int, input().split())
            for i in range(r):
                row = input().strip()
                if "{char}" in row:
                    print(i{" + 1" if start else ""}, row.index("{char}"){" + 1" if start else ""})
            """,
    )


@family()
def flip_grid(rng: Random) -> Problem:
    sideways = rng.random() < 0.5
    what = "left and right" if sideways else "top and bottom"
    mirror = "each line is read from right to left" if sideways else "the last line comes first"
    body = """
            for _ in range(r):
                print(input().strip()[::-1])
            """ if sideways else """
            g = [input().strip() for _ in range(r)]
            for row in g[::-1]:
                print(row)
            """  # fmt: skip
    return Problem(
        say=(
            f"Mirror the picture so that {what} are exchanged ({mirror}).",
            f"Flip a grid of characters: {what} change places.",
            f"Print the picture as its mirror image, where {mirror}.",
        ),
        input=PICTURE,
        output="Print the r lines of the new picture.",
        case=lambda size: (picture(rng, size, ".#o"),),
        edges=((["#"],), (["#.."],), (["#", ".", "o"],), (["#.", "oo"],)),
        layout=lined_picture,
        answer=lambda g: rows(*["".join(reversed(row)) for row in g] if sideways else reversed(g)),
        solution="            r, c = map(int, input().split())" + body,
    )


@family("medium")
def frame(rng: Random) -> Problem:
    edge, inner = rng.choice((("#", "."), ("*", "."), ("x", "o"), ("+", "-")))
    return Problem(
        say=(
            f"Draw a rectangle with r rows and c columns. Cells on the border are {edge} and cells inside are {inner}.",
            f"Print a frame of {edge} around a field of {inner}; the whole picture has r rows and c columns.",
            f"Make a picture of size r x c: {edge} in the first and last row and in the first and last column, {inner} everywhere else.",
        ),
        input="Two integers r and c on one line (r, c >= 2).",
        output="Print the r lines of the picture.",
        case=lambda size: (rng.randint(2, 2 + min(size // 2, 6)), rng.randint(2, 3 + size)),
        edges=((2, 2), (2, 5), (5, 2), (3, 3)),
        layout=lambda r, c: f"{r} {c}",
        answer=lambda r, c: rows(
            *["".join(edge if i in (0, r - 1) or j in (0, c - 1) else inner for j in range(c)) for i in range(r)]
        ),
        solution=f"""
            r, c = map(int, input().split())
            print("{edge}" * c)
            for _ in range(r - 2):
                print("{edge}" + "{inner}" * (c - 2) + "{edge}")
            print("{edge}" * c)
            """,
    )
