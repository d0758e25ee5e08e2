# {"kind": "assert", "expect": "accepted", "names": ["flag", "colour"], "tests": "assert flag(1) is True and flag(0) == 0\nassert colour(0) == 1"}
import enum
class Colour(enum.IntEnum):
    RED = 1
def flag(x): return x > 0
def colour(x): return Colour.RED
