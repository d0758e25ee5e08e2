"""Small programming problems, from standard input to standard output, for a seed.

A *family* is one idea ("count the numbers above a threshold"); its parameters, story, wording and tests vary. Train and
test are split by family, so a held-out problem is never a train problem in other words. There are two kinds: *crossed*
families (`families`) pair a skill with a use and draw new problems without end; *single* ones (`single`) stand for
themselves and are read from frozen records. `single` and `crossing` say how to add one.
"""

from strop.tasks.code_basics.generate import CodeBasics, family_names, generate, topics

__all__ = ["CodeBasics", "family_names", "generate", "topics"]
