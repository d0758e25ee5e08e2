"""The program's side of being judged by asserts: a process that loads it and answers what the tests ask, see
`_assert_harness`."""

import _ctypes
import posix as os
import sys

from strop.rewards._assert_values import Failure, Reader, Writer, failure, receive, send

DEEPER = 2000
"""Frames that nested values may take: about a thousand levels."""
BELOW = 20
"""Frames below a function of the program's that would not be there were it called by a script."""


def confine(unsafe):
    """A Landlock domain below the harness's: no ptrace of, and no /proc/PID/fd on, what is outside of it. A kernel
    without that will do where there is no /proc: the list of system calls has no other way into a process."""
    libc = _ctypes.dlopen(None, 2)  # type: ignore[arg-type] # the interpreter itself
    syscall = _ctypes.dlsym(libc, "syscall")
    rules = bytes(16) + (1).to_bytes(8, sys.byteorder)  # handled_access_fs, _net: none; scoped: abstract unix sockets
    descriptor = _ctypes.call_function(syscall, (444, rules, len(rules), 0))  # landlock_create_ruleset
    if descriptor >= 0:
        confined = _ctypes.call_function(syscall, (446, descriptor, 0)) == 0  # landlock_restrict_self
        os.close(descriptor)
    else:
        confined = not may_look_up("/proc/self")
    if not confined and not unsafe:
        os.write(2, b"the candidate could not be confined\n")
        os._exit(1)


def may_look_up(path):
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    return True


def serve(source, requests, replies, unsafe):
    """Load the program, then answer requests until the tests hang up."""
    confine(unsafe)
    end_of_file, writer = os.pipe()
    os.close(writer)
    os.dup2(end_of_file, 0)
    os.close(end_of_file)
    os.dup2(2, 1)  # what it prints joins its tracebacks
    sys.setrecursionlimit(sys.getrecursionlimit() + BELOW)
    module = type(sys)("solution")
    sys.modules["solution"] = module
    try:
        exec(compile(source, "solution.py", "exec", dont_inherit=True), module.__dict__)
        send(replies, "")
    except Exception as error:
        send(replies, failure(error))
        raise
    Program(module, requests, replies).run()


class Given:
    """A function of the tests, as the program has it."""

    def __init__(self, program, number):
        self._program, self._number = program, number

    def __call__(self, *args, **kwargs):
        return self._program.call_tests(self._number, args, kwargs)


class GivenIterator(Given):
    """An iterator of the tests."""

    __next__ = Given.__call__

    def __iter__(self):
        return self


def of_library(module, path):
    found = __import__(module, fromlist=["*"])
    for name in path.split("."):
        found = getattr(found, name)
    return found


class Program:
    """The candidate's side of the conversation."""

    def __init__(self, module, requests, replies):
        self.module, self.requests, self.replies = module, requests, replies
        self.kept, self.numbers = [], {}  # what the tests have handles on; numbers by id
        self.given, self.texts = {}, {}  # what they gave that is no value, by number; how it is named, by id
        self.classes: tuple[type, ...] = ()  # that the tests name
        self.actions: dict = {
            "names": self.names,
            "call": lambda name, args, kwargs: getattr(module, name)(*args, **kwargs),
            "apply": lambda value, args, kwargs: value(*args, **kwargs),
            "get": getattr,
            "set": setattr,
            "iter": iter,
            "next": lambda iterator: [next(iterator)],
            "item": lambda value, key: value[key],
            "len": len,
            "bool": bool,
            "str": str,
            "repr": repr,
            "put": lambda value, key, item: value.__setitem__(key, item),
            "remove": lambda value, key: value.__delitem__(key),
            "enter": lambda value: type(value).__enter__(value),
            "leave": lambda value: type(value).__exit__(value, None, None, None),
            "isinstance": isinstance,
            "issubclass": issubclass,
            "operator": lambda name, *operands: of_library("operator", name)(*operands),
            "equal": lambda one, other: bool(one == other),
            "hash": hash,
        }

    def run(self):
        while True:
            try:
                text = receive(self.requests)
            except EOFError:
                os._exit(0)
            self.answer(text)

    def answer(self, text):
        """Do what the tests ask for."""
        reader = Reader(self.of_tests, borrows=True)
        try:
            request = reader.read(text)
            value = self.actions[request[0]](*request[1:])
            limit = sys.getrecursionlimit()
            sys.setrecursionlimit(limit + DEEPER)  # what is nested is written by recursion
            try:
                reply = self.reply(value, request, text, reader.lent)
            finally:
                sys.setrecursionlimit(limit)
        except Exception as error:  # noqa: BLE001 - whatever the candidate raises goes to the tests
            reply = "!" + failure(error)
        send(self.replies, reply)

    def reply(self, value, request, text, lent):
        """The value, and what the lent objects hold now where one of them has changed."""
        writer = Writer(self.keep, {id(one): number for number, one in enumerate(lent)})
        if len(lent) > 2 and Writer(self.keep, lends=True).write(request) != text:  # more than the request's own two
            return "~" + writer.write([value, [one.copy() for one in lent[1:]]])
        return "=" + writer.write(value)

    def keep(self, value):
        """The JSON of what is no value: of a function of the tests its own, of anything else a number for a handle."""
        if (text := self.texts.get(id(value))) is not None:
            return text
        number = self.numbers.get(id(value))
        if number is None:
            number = self.numbers[id(value)] = len(self.kept)
            self.kept.append(value)
        named = any(type(value) is one for one in self.classes)
        return f'["o",{number},{"true" if named else "false"}]'

    def of_tests(self, tag, number, *rest):
        """What the tests mean by a reference: an object of the program's, or something of their own."""
        if tag == "o":
            return self.kept[number]
        if number not in self.given:
            value = of_library(*rest) if tag == "g" else (GivenIterator if tag == "y" else Given)(self, number)
            self.given[number] = value
            self.texts[id(value)] = "[" + ",".join([f'"{tag}"', str(number), *(f'"{one}"' for one in rest)]) + "]"
        return self.given[number]

    def names(self, names):
        """What the tests' names stand for: a list for each, of nothing where it is missing, of its value where it is
        one, and otherwise of what it is by reference."""
        found: list[list] = []
        for name in names:
            try:
                value = getattr(self.module, name)
            except Exception:  # noqa: BLE001 - it is asked for again when it is called
                found.append([])
                continue
            found.append([value])
        self.classes = tuple(one[0] for one in found if one and isinstance(one[0], type))
        return found

    def call_tests(self, number, args, kwargs):
        """Call a function of the tests, which may call the program meanwhile."""
        send(self.replies, "?" + Writer(self.keep).write([number, args, kwargs]))
        while (text := receive(self.requests))[:1] not in ("=", "!"):
            self.answer(text)
        if text[0] == "=":
            return Reader(self.of_tests).read(text[1:])
        raise Failure(text[1:]).error()
