# {"kind": "assert", "expect": "accepted", "names": ["letters", "groups", "order"], "tests": "assert letters('aab') == {'a': 2, 'b': 1}\nassert groups('aa') == {'a': [1, 1]}\nassert list(order('ba')) == ['b', 'a']"}
from collections import Counter, OrderedDict, defaultdict
def letters(text): return Counter(text)
def groups(text):
    found = defaultdict(list)
    for one in text: found[one].append(1)
    return found
def order(text): return OrderedDict((one, i) for i, one in enumerate(text))
