# {"kind": "assert", "expect": "accepted", "names": ["power", "fact"], "tests": "import math\nassert power(10) == 10 ** 20000\nassert fact(3000) == math.factorial(3000)"}
import math, sys
def power(x): return x ** 20000
def fact(n): return math.factorial(n)
