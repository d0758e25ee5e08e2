# {"kind": "stdio", "expect": "accepted", "tests": [["1 2\n", "3\n"]]}
import asyncio, heapq, bisect, itertools, statistics, textwrap, string, uuid, secrets, random, datetime, calendar, struct, copy, typing, enum, operator, re, locale, logging, argparse, traceback, pprint, graphlib, zoneinfo
async def add(q, n): await asyncio.sleep(0); q.append(n)
async def main():
    q = []; await asyncio.gather(*(add(q, int(n)) for n in input().split())); return sum(q)
datetime.datetime.now(); uuid.uuid4(); secrets.token_hex(4); logging.getLogger().debug('x'); locale.setlocale(locale.LC_ALL, 'C')
print(asyncio.run(main()))
