# {"kind": "assert", "expect": "accepted", "names": ["lookup", "decode", "check", "parse"], "tests": "\ndef caught(kind, f, *args):\n    try:\n        f(*args)\n    except kind as error:\n        return error\n    assert False, 'nothing raised'\nassert str(caught(KeyError, lookup, {}, 'a')) == \"'a'\" and caught(KeyError, lookup, {}, (1, 2)).args == ((1, 2),)\nassert caught(UnicodeDecodeError, decode, b'a\\xff').start == 1\nassert caught(ValueError, decode, b'\\xff') and caught(ValueError, check, -1).args == ('below 0', -1)\nassert str(caught(ValueError, check, 1)) == 'LOUD above'\nassert str(caught(ValueError, parse, '')) == 'Expecting value: line 1 column 1 (char 0)'\n", "why": "what tests ask of an exception that they wait for"}
import json
class Negative(ValueError): pass
class Loud(ValueError):
    def __str__(self): return 'LOUD ' + self.args[0]
def lookup(table, key): return table[key]
def decode(data): return data.decode()
def check(x):
    if x < 0: raise Negative('below 0', x)
    raise Loud('above')
def parse(text): return json.loads(text)
