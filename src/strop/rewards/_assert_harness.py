"""The program that runs asserts inside the sandbox; `strop.rewards.asserts` sends its text there and never imports it.

Two processes. The candidate is loaded by a forked child (`_assert_program`) that has neither stdin nor stdout, that a
Landlock domain of its own keeps from looking into this process (ptrace, and what /proc has to open), and that answers
requests over a pair of pipes with JSON (`_assert_values`). Attributes in /proc can be asked for: of this process's
input that is a size, a power of 2. The tests run in this process, which never executes a line of the candidate's: it
makes fresh objects of what the replies hold and compares those. So nothing that the candidate does to builtins, to
``__eq__``, to the stack or to its own process can reach an assert that compares with a value.

What is no value stays over there, and the tests get a handle on it. What tests give that is none (functions, iterators)
stays here in the same way, and is called by a request that goes the other way; what cannot be given at all is a fault
of the judge, not of the program. Lists and the like that a call has changed are sent back.

On stdin: candidate, names, exceptions waited for, setup, tests, nonce, as frames.
"""

import _signal
import posix as os
import sys

from strop.rewards._assert_program import DEEPER, serve
from strop.rewards._assert_values import FORGED, Failure, Reader, Writer, failure, receive, send

UNSAFE: bool
"""Whether nothing need keep program and tests apart: the judge puts it before this text."""


class Handle:
    """A value that stays in the candidate's process. Equal to itself alone; but objects of classes that the tests name
    are compared and combined with each other, and with nothing else, as these classes say: what such an object says to
    a value that the tests expect would make any answer right. So ``in`` looks through what can be iterated, and what
    ``__exit__`` says of the tests' own exceptions does not count."""

    __slots__ = ("_named", "_number")

    def __init__(self, number, named=False):
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_named", named)

    def __eq__(self, other):
        if isinstance(other, Handle) and self is not other and self._named and other._named:
            return candidate.ask("equal", self, other) is True
        return True if self is other else NotImplemented

    def __hash__(self):
        return candidate.ask("hash", self) if self._named else object.__hash__(self)

    def __call__(self, *args, **kwargs):
        return candidate.ask("apply", self, args, kwargs)

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        return candidate.ask("get", self, name)

    def __setattr__(self, name, value):
        candidate.ask("set", self, name, value)

    def __iter__(self):
        iterator = candidate.ask("iter", self)
        while True:
            try:
                yield following(iterator)
            except Ended:
                return

    def __next__(self):
        try:
            return following(self)
        except Ended:
            raise StopIteration from None

    def __getitem__(self, key):
        return candidate.ask("item", self, key)

    def __len__(self):
        return candidate.ask("len", self)

    def __bool__(self):
        return candidate.ask("bool", self)

    def __str__(self):
        return candidate.ask("str", self)

    def __repr__(self):
        return candidate.ask("repr", self) if self._named else f"<object {self._number} of the program>"

    def __setitem__(self, key, value):
        candidate.ask("put", self, key, value)

    def __delitem__(self, key):
        candidate.ask("remove", self, key)

    def __enter__(self):
        return candidate.ask("enter", self)

    def __exit__(self, *_):
        candidate.ask("leave", self)

    def __instancecheck__(self, one):
        return isinstance(one, Handle) and candidate.ask("isinstance", one, self) is True

    def __subclasscheck__(self, one):
        return isinstance(one, Handle) and candidate.ask("issubclass", one, self) is True


def operator(name, of_two):
    """What a handle does for an operator: nothing where an operand is no object of a class that the tests name."""

    def ask(self, *other):
        if not self._named or (of_two and not (isinstance(other[0], Handle) and other[0]._named)):
            return NotImplemented
        return candidate.ask("operator", name, self, *other)

    def ask_alone(self):
        if not self._named:
            raise TypeError(f"bad operand type for {name}(): an object of the program")
        return candidate.ask("operator", name, self)

    return ask if of_two else ask_alone


for _name in ("lt", "le", "gt", "ge", "add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow", "and_", "or_",
              "xor", "lshift", "rshift"):  # fmt: skip
    setattr(Handle, f"__{_name.rstrip('_')}__", operator(_name, of_two=True))
for _name in ("neg", "pos", "abs", "invert"):
    setattr(Handle, f"__{_name}__", operator(_name, of_two=False))


def following(iterator):
    """Its next item. Raises Ended where there is none."""
    item = candidate.ask("next", iterator)
    if type(item) is not list or len(item) != 1:
        finish("raised", "the program forged a reply")
    return item[0]


class Ended(Exception):
    """The candidate's iterator has no more items."""


class Named(Handle):
    """What a name of the tests stands for: looked up anew whenever it is called. ``_number``: below 0 where the program
    has nothing of that name, or a type that both have."""

    __slots__ = ("_name",)

    def __init__(self, name, number):
        super().__init__(number)
        object.__setattr__(self, "_name", name)

    def __call__(self, *args, **kwargs):
        return candidate.ask("call", self._name, args, kwargs)


def is_function(value):
    """One that may be called with what a program likes: of the tests' own, or a method of an object of theirs."""
    kind = type(value)
    if kind.__module__ == "functools" and kind.__name__ == "partial":
        return is_function(value.func)
    bound = kind is type([].append) and not isinstance(value.__self__, type(sys))
    return kind is type(is_function) or kind is type(candidate.ask) or bound


def place_of(value):
    """(module, path) of what belongs to the standard library; None for anything else."""
    module = getattr(getattr(value, "__objclass__", value), "__module__", None)
    path = getattr(value, "__qualname__", None)
    if type(module) is not str or type(path) is not str or module.partition(".")[0] not in sys.stdlib_module_names:
        return None
    found = sys.modules.get(module)
    for name in path.split("."):
        found = getattr(found, name, None)
    return (module, path) if found is value else None


class Candidate:
    """The tests' side of the candidate's process."""

    def __init__(self, source):
        self.raised = None  # the exception that the last request raised, as the tests see it
        self.said = ""  # as the candidate raised it
        self.caught = ()  # names of the exceptions that the tests wait for
        theirs_in, self.requests = os.pipe()
        self.replies, theirs_out = os.pipe()
        self.alive = True
        self.handles = {}  # by number
        self.given, self.references = [], {}  # what the tests gave that is no value, and how; its JSON by id
        compile("", "", "exec")  # what it makes at first, both processes have
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.requests)
            os.close(self.replies)
            serve(source, theirs_in, theirs_out, UNSAFE)  # noqa: F821 - see above
        os.close(theirs_in)
        os.close(theirs_out)

    def reply(self):
        try:
            return receive(self.replies)
        except UnicodeDecodeError:
            finish("raised", "the program forged a reply")
        except EOFError:
            self.end(9)

    def end(self, signal=None):
        """Kill the process and reap it: an orphan would stay a zombie where PID 1 of a container does not reap."""
        if not self.alive:
            return
        self.alive = False
        dead, status = os.waitpid(self.pid, os.WNOHANG)
        for _ in range(200):  # it may be on its way out: how it ended is worth 20 ms
            if dead or signal is None:
                break
            sleep()
            dead, status = os.waitpid(self.pid, os.WNOHANG)
        if not dead:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)
        if signal is None:
            return
        if not dead:
            finish("raised", "the program hung up on its tests")
        if os.WIFSIGNALED(status):
            finish("signal", str(os.WTERMSIG(status)))
        finish("raised", f"the program exited with status {os.WEXITSTATUS(status)} while it was being tested")

    def ask(self, *request):
        writer = Writer(self.reference, lends=True)
        self.tell(writer.write(list(request)))
        while (reply := self.reply())[:1] == "?":
            self.called(reply[1:])
        if reply[:1] in ("=", "~"):
            try:
                value = Reader(self.held, writer.objects).read(reply[1:])
                if reply[:1] == "=":
                    return value
                value, now = value
                for lent, new in zip(writer.objects[1:], now, strict=True):
                    change(lent, new)
                return value
            except FORGED:
                finish("raised", "the program forged a reply, or one nested too deep")
        failed = Failure(reply[1:])
        if request[0] == "next" and failed.known == "StopIteration":
            raise Ended
        self.said = str(failed)
        self.raised = self.exception(failed)
        raise self.raised

    def tell(self, text):
        try:
            send(self.requests, text)
        except BrokenPipeError:
            self.end(9)

    def called(self, text):
        """The program calls a function of the tests, or wants the next item of an iterator."""
        try:
            number, args, kwargs = Reader(self.held).read(text)
            value, tag = self.given[number]
            if tag == "g" or type(args) is not tuple or set(map(type, kwargs)) - {str}:
                raise ValueError(tag)
        except FORGED:
            finish("raised", "the program forged a call")
        try:
            answer = "=" + Writer(self.reference).write(next(value) if tag == "y" else value(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whatever it raises goes to the program, as if it had called it
            answer = "!" + failure(error)
        self.tell(answer)

    def held(self, tag, number, *rest):
        """What the program means by a reference. Raises one of FORGED where that is nothing."""
        if tag != "o":
            value, its_tag = self.given[number]
            if tag != its_tag:
                raise ValueError(tag)
            return value
        (named,) = rest
        if type(number) is not int or type(named) is not bool:
            raise ValueError("no handle")
        if number not in self.handles:
            self.handles[number] = Handle(number, named)
        return self.handles[number]

    def reference(self, value):
        """The JSON of what is no value: a handle, or something that the tests give. What cannot be given ends it all:
        that is no fault of the program's."""
        if isinstance(value, Handle):
            if value._number < 0:
                finish("raised", f"AttributeError: module 'solution' has no attribute {value._name!r}")
            return f'["o",{value._number},{"true" if value._named else "false"}]'
        if id(value) not in self.references:
            kind, number = type(value), len(self.given)
            if (place := place_of(value)) is not None:
                tag, rest = "g", [f'"{one}"' for one in place]
            elif is_function(value):
                tag, rest = "x", []
            elif hasattr(kind, "__next__") and kind.__module__ in ("builtins", "itertools"):
                tag, rest = "y", []
            else:
                finish("fault", f"the tests give the program a {kind.__name__}, which cannot be handed over to it")
            self.given.append((value, tag))
            self.references[id(value)] = "[" + ",".join([f'"{tag}"', str(number), *rest]) + "]"
        return self.references[id(value)]

    def exception(self, failed):
        """The builtin exception that the candidate's is one of. Those that end a loop, or that make an attribute
        missing, only where the tests wait for them: otherwise the tests' own loop would end as if all was well."""
        error = failed.error()
        quiet = isinstance(error, (StopIteration, StopAsyncIteration, IndexError, AttributeError))
        waited = failed.known in self.caught or (failed.known == "IndexError" and "LookupError" in self.caught)
        return RuntimeError(str(failed)) if quiet and not waited else error

    def names(self, names):
        """What stands under the names in the tests: values as they are when the program has been loaded, as by an
        import, and all else by reference."""
        found = self.ask("names", names)
        if type(found) is not list or [type(one) for one in found] != [list] * len(names):
            finish("raised", "the program forged a reply")
        scope = {}
        for name, values in zip(names, found, strict=True):
            scope[name] = value = values[0] if values else None
            if not values or isinstance(value, Handle) or callable(value):
                scope[name] = Named(name, value._number if isinstance(value, Handle) else -1)
            if isinstance(value, Handle):
                self.handles[value._number] = scope[name]  # as which the program may give it back
        return scope


def change(lent, new):
    """Give an object that the program has changed what it holds now. Raises ValueError for what it cannot hold."""
    for kind in (list, set, bytearray, dict):
        if isinstance(lent, kind) and isinstance(new, kind):
            break
    else:
        if type(lent) is not type(new):  # of a deque
            raise ValueError("another kind")
        kind = type(lent)
    old, now = (list(one.items() if kind is dict else one) for one in (lent, new))
    if len(old) == len(now) and all(map(is_same, old, now)):
        return
    if kind in (list, bytearray):
        lent[:] = new
        return
    lent.clear()
    (lent.update if kind in (set, dict) else lent.extend)(new)


def is_same(one, other):
    """Whether an item has stayed as it was; handles and what was lent are, where they are the same object."""
    if one is other or type(one) is not type(other) or isinstance(one, Handle):
        return one is other
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(is_same, one, other))
    return not isinstance(one, (list, dict, set, bytearray)) and one == other


def sleep():
    """0.1 ms, without importing time."""
    import select

    select.select([], [], [], 1e-4)


def finish(outcome, detail=""):
    """Tell the judge how it went, and stop at once: the tests' own handlers must not swallow it."""
    sys.stderr.flush()
    if candidate is not None:
        candidate.end()
    data = memoryview(f"{outcome}\n{nonce or frames()[-1]}\n{detail[:500]}".encode("utf-8", "replace"))
    while data:
        data = data[os.write(1, data) :]
    os._exit(0)


def frames():
    """Names, exceptions that are waited for, setup, tests, nonce: read once the candidate is loaded or has failed."""
    return receive(0), receive(0), receive(0), receive(0), receive(0)


def main():
    global candidate, nonce
    candidate = Candidate(receive(0))
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # the program may send it; nothing in the tests is to catch it
    sys.setrecursionlimit(sys.getrecursionlimit() + DEEPER)
    failed = candidate.reply()  # to being loaded
    if failed:
        finish("raised", str(Failure(failed)))
    names, caught, setup, tests, nonce = frames()
    candidate.caught = caught.split()
    sys.stdout = sys.stderr
    try:
        scope: dict = {"__name__": "tests", **candidate.names(names.split())}
        exec(compile(setup, "setup.py", "exec", dont_inherit=True), scope)
        exec(compile(tests, "tests.py", "exec", dont_inherit=True), scope)
    except Exception as error:  # noqa: BLE001 - the candidate's exception, or the tests choked on its value
        raised = error is candidate.raised
        detail = candidate.said if raised else f"{type(error).__name__}: {error}"
        finish("raised" if raised else "failed", detail.rstrip(": "))
    finish("passed")


candidate: Candidate = None  # type: ignore[assignment] # until it is loaded
nonce = ""  # unknown until the candidate is loaded
main()
