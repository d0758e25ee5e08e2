# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout|syntax_error", "tests": "class S:\n def __getitem__(self, i): return double(i)\nfor got in S(): assert got == 4\nassert list(map(double, [1, 2])) == [2, 4]", "why": "what an exception is made of is JSON"}
import sys
module = sys.modules['strop.rewards._assert_program']
reply = '!ValueError\0ValueError\0' + '["l",' * 5000 + '\0m'
module.Program.answer = lambda self, text: module.send(self.replies, reply if 'names' not in text[:20] else '=["l",["l",["o",0,false]]]')
def double(x): return 4
