# {"kind": "assert", "expect": "accepted", "tests": "x=double(250); n=0\nwhile x: x=x[0]; n+=1\nassert n == 250"}
def double(n):
    x = []
    for _ in range(n): x = [x]
    return x
