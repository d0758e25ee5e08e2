# {"kind": "assert", "expect": "accepted"}
from concurrent.futures import ThreadPoolExecutor
def double(x):
    with ThreadPoolExecutor(16) as pool: parts = list(pool.map(lambda y: y, [x] * 50))
    return parts[0] * 2
