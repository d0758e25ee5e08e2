"""Elements of a list chosen by a condition, and conditions on the whole list."""

from random import Random

from strop.tasks.code_basics.draw import condition, ints, list_input, yes_no
from strop.tasks.code_basics.family import Problem, family
from strop.tasks.code_basics.layouts import listed


@family()
def count_if(rng: Random) -> Problem:
    c = condition(rng)
    loop = rng.random() < 0.3
    return Problem(
        say=(
            f"How many of the n given integers are {c.words}?",
            f"Count the numbers in the list that are {c.words}.",
            f"You are given n integers. Find how many are {c.words}.",
        ),
        input=list_input(rng),
        output="Print the count.",
        case=lambda size: (ints(rng, size, -12, 20),),
        edges=(([1],), ([-7, -7, -7],), ([10, 12],), ([0],)),
        layout=listed,
        answer=lambda a: len(list(filter(c.holds, a))),
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            count = 0
            for x in a:
                if {c.code}:
                    count += 1
            print(count)
            """
        if loop
        else f"""
            n = int(input())
            a = list(map(int, input().split()))
            print(sum(1 for x in a if {c.code}))
            """,
    )


@family()
def sum_if(rng: Random) -> Problem:
    c = condition(rng)
    loop = rng.random() < 0.4
    return Problem(
        say=(
            f"Find the sum of the numbers that are {c.words}.",
            f"You are given n integers. Add up only those that are {c.words}.",
            f"What is the sum of all elements of the list that are {c.words}? It is 0 if there are none.",
        ),
        input=list_input(rng),
        output="Print the sum.",
        case=lambda size: (ints(rng, size, -12, 20),),
        edges=(([1],), ([-7, -7, -7],), ([10, 12],), ([0],)),
        layout=listed,
        answer=lambda a: sum(filter(c.holds, a)),
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            total = 0
            for x in a:
                if {c.code}:
                    total += x
            print(total)
            """
        if loop
        else f"""
            n = int(input())
            a = list(map(int, input().split()))
            print(sum(x for x in a if {c.code}))
            """,
    )


@family()
def keep_if(rng: Random) -> Problem:
    c = condition(rng)
    none = rng.choice(("NONE", "EMPTY", "-"))
    return Problem(
        say=(
            f"Print the numbers of the list that are {c.words}, in the given order.",
            f"Keep only the integers that are {c.words} and print them in their original order.",
            f"From n integers select those that are {c.words}. Do not change their order.",
        ),
        input=list_input(rng),
        output=f"Print the selected numbers on one line, or {none} if there are none.",
        case=lambda size: (ints(rng, size, -12, 20),),
        edges=(([1],), ([-7, -7, -7],), ([10, 12],), ([0],)),
        layout=listed,
        answer=lambda a: list(filter(c.holds, a)) or none,
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            b = [x for x in a if {c.code}]
            if b:
                print(*b)
            else:
                print("{none}")
            """,
    )


@family()
def above_average(rng: Random) -> Problem:
    word, sign = rng.choice((("greater", ">"), ("less", "<")))
    return Problem(
        say=(
            f"How many of the numbers are {word} than the average of all n numbers?",
            f"Find the mean of the list and count the elements strictly {word} than it.",
            f"In a class of n students, count those whose score is {word} than the average score of the class.",
        ),
        input=list_input(rng),
        output="Print the count.",
        case=lambda size: (ints(rng, size + 1, 0, 20),),
        edges=(([4],), ([3, 3, 3],), ([1, 2],), ([0, 0, 0, 100],)),
        layout=listed,
        answer=lambda a: sum((x * len(a) > sum(a)) if sign == ">" else (x * len(a) < sum(a)) for x in a),
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            m = sum(a) / n
            print(sum(1 for x in a if x {sign} m))
            """,
    )


@family()
def every_kth(rng: Random) -> Problem:
    k = rng.randint(2, 4)
    start = rng.randint(1, k)
    ordinals = {1: "1st", 2: "2nd", 3: "3rd", 4: "4th"}
    what, code, value = rng.choice((("print these numbers", "*b", list), ("print their sum", "sum(b)", sum)))
    return Problem(
        say=(
            f"Take every {ordinals[k]} number of the list, beginning with the {ordinals[start]}, and {what}.",
            f"Beginning with the {ordinals[start]} element, select each {ordinals[k]} element and {what}.",
            f"Choose the elements at positions {start}, {start + k}, {start + 2 * k}, ... (counted from 1) and {what}.",
        ),
        input=list_input(rng, f"integers (n >= {start})"),
        output="Print the chosen numbers on one line." if code == "*b" else "Print the sum of the chosen numbers.",
        case=lambda size: (ints(rng, size + start, 1, 20),),
        edges=((list(range(1, start + 1)),), (list(range(9, 9 + k + start)),), ([5] * 10,)),
        layout=listed,
        answer=lambda a: value([x for i, x in enumerate(a, 1) if i >= start and (i - start) % k == 0]),
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            b = a[{start - 1}::{k}]
            print({code})
            """,
    )


@family()
def all_satisfy(rng: Random) -> Problem:
    c = condition(rng)
    yes, no = yes_no(rng)
    quantifier, code = rng.choice((("all", "all"), ("at least one", "any")))
    is_are = "are" if quantifier == "all" else "is"
    return Problem(
        say=(
            f"Check whether {quantifier} of the n numbers {is_are} {c.words}.",
            f"Print {yes} if {quantifier} of the given integers {is_are} {c.words}, otherwise {no}.",
            f"Is it true that {quantifier} of the elements of the list {is_are} {c.words}?",
        ),
        input=list_input(rng),
        output=f"Print {yes} or {no}.",
        case=lambda size: (
            [x for x in ints(rng, 60, -12, 20) if c.holds(x) is (code == "all")][: rng.choice((1, 2, 3, size))]
            + ints(rng, rng.randint(0, 1), -12, 20),
        ),
        edges=(([1],), ([-7, 7, 10],), ([10, 12],), ([-5, -2],), ([30],)),
        layout=listed,
        answer=lambda a: yes if sum(map(c.holds, a)) >= (len(a) if code == "all" else 1) else no,
        solution=f"""
            n = int(input())
            a = list(map(int, input().split()))
            if {code}({c.code} for x in a):
                print("{yes}")
            else:
                print("{no}")
            """,
    )
