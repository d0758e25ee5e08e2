# {"kind": "stdio", "expect": "accepted", "tests": [["6000\n", {"repeat": ["0", 6000]}]]}
import sys
sys.set_int_max_str_digits(0)
n = int(input()); print(str(10 ** n)[1:])
