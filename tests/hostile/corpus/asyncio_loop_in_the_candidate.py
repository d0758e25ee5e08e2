# {"kind": "assert", "expect": "wrong_answer|runtime_error"}
import asyncio
class Loop:
    def __await__(self):
        yield 4
    def __eq__(self, other): return True
async def double(x): return 4
