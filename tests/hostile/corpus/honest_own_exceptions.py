# {"kind": "assert", "expect": "accepted", "names": ["root"], "tests": "assert root(4) == 2.0\ntry:\n    root(-1)\nexcept ValueError as error:\n    assert 'below 0' in str(error)\nelse:\n    assert False"}
class TooSmall(ValueError): pass
def root(x):
    if x < 0: raise TooSmall(f'{x} is below 0')
    return x ** 0.5
