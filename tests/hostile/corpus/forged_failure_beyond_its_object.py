# {"kind": "assert", "expect": "wrong_answer|runtime_error|timeout|syntax_error", "tests": "class S:\n def __getitem__(self, i): return double(i)\nfor got in S(): assert got == 4\nassert list(map(double, [1, 2])) == [2, 4]", "why": "of what an exception is made, its text may be asked for"}
import sys
module = sys.modules['strop.rewards._assert_program']
reply = '!UnicodeDecodeError\x00UnicodeDecodeError\x00["l","utf-8",["b","61"],-999999999,-999999998,"x"]\x00m'
module.Program.answer = lambda self, text: module.send(self.replies, reply if 'names' not in text[:20] else '=["l",["l",["o",0,false]]]')
def double(x): return 4
