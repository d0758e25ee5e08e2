# {"kind": "stdio", "expect": "accepted|runtime_error", "tests": [["1 2\n", "3\n"]]}
import ast, json, pickle
for go in (lambda: json.loads('[' * 200000), lambda: ast.literal_eval('-' * 100000 + '1'), lambda: pickle.dumps(deep()), lambda: eval('(' * 5000 + ')' * 5000), lambda: repr(deep())):
    def deep():
        one = []
        for _ in range(100000): one = [one]
        return one
    try: go()
    except (RecursionError, MemoryError, SyntaxError, ValueError): pass
print(sum(map(int, input().split())))
