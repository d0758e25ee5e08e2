# {"kind": "assert", "expect": "accepted", "names": ["edge"], "tests": "import math\nassert edge(0) == math.inf and edge(1) == -math.inf and math.isnan(edge(2))\nassert math.copysign(1, edge(3)) == -1 and edge(4) == 5e-324 and edge(5) == 1.7976931348623157e308 and edge(6) == 0.30000000000000004"}
import math
def edge(n): return (math.inf, -math.inf, math.nan, -0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2)[n]
