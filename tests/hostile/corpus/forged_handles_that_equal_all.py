# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout|syntax_error"}
import sys
m = sys.modules['strop.rewards._assert_program']
old = m.Program.reply
n = 100
def reply(self, value, request, text, lent):
    global n
    if request[0] == 'names': return old(self, value, request, text, lent)
    if request[0] in ('equal','bool'): return '=true'
    n += 1
    return f'=["o",{n},true]'
m.Program.reply = reply
def double(x): return 4
