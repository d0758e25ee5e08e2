"""The program that runs asserts inside the sandbox; `strop.rewards.asserts` sends its text there and never imports it.

Two processes. The candidate is loaded by a forked child that has neither stdin nor stdout, that a Landlock domain of
its own keeps from looking into this process (ptrace, and what /proc has to open), and that answers requests over a pair
of pipes with JSON. Attributes in /proc can be asked for: of this process's input that is a size that is a power of 2.
The tests run in this process, which never executes a line of the candidate's: it turns the replies into fresh builtin
objects and compares those. So nothing that the candidate does to builtins, to ``__eq__``, to the stack or to its own
process can reach an assert. What is no plain value stays over there; the tests get a handle on it, which is equal to
nothing but itself.

Frames are a 4-byte length and UTF-8. On stdin: candidate, names, exceptions waited for, setup, tests, nonce. Little is
imported, since imports cost milliseconds.
"""

import _ctypes
import _json
import _signal
import posix as os
import sys

DEEPER = 2000
"""Frames that nested values may take: about a thousand levels."""
LONGEST = 1 << 28
"""Bytes of a frame; a length beyond it is a forged one."""
BUILTIN_TYPES = (int, float, complex, str, bytes, bool, list, tuple, dict, set, frozenset, object, type, type(None))
UNSAFE: bool
SMALL = 1 << 4000
"""Whole numbers beyond it are written in hexadecimal; Python reads no more than 4,300 decimal digits."""
TYPES = {kind.__name__: kind for kind in BUILTIN_TYPES}


# ---------------------------------------------------------------- frames
def read(fd, size):
    data = bytearray()
    while len(data) < size:
        chunk = os.read(fd, min(size - len(data), 1 << 20))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def receive(fd):
    size = int.from_bytes(read(fd, 4), "big")
    if size > LONGEST:
        raise EOFError
    return read(fd, size).decode("utf-8", "surrogatepass")


def send(fd, text):
    data = text.encode("utf-8", "surrogatepass")
    data = memoryview(len(data).to_bytes(4, "big") + data)
    while data:
        data = data[os.write(fd, data) :]


# ---------------------------------------------------------------- values as JSON
# Numbers, strings, true, false and null are themselves. Everything else is a list: a tag, then what it is made of.
CONTAINERS: tuple[tuple, ...] = ((list, "l"), (tuple, "t"), (set, "s"), (frozenset, "f"))


def encode(value, handle):
    """JSON for ``value``, whose subclasses of builtin types become the plain ones; ``handle`` gives it for the rest."""
    kind = type(value)
    if kind is str:
        return _json.encode_basestring_ascii(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if isinstance(value, int):
        value = int(value)
        return int.__repr__(value) if -SMALL < value < SMALL else f'["i","{value:x}"]'
    if isinstance(value, float):
        return encode_float(value)
    if isinstance(value, str):
        return _json.encode_basestring_ascii(str.__str__(value))
    if isinstance(value, complex):
        return f'["c",{encode_float(value.real)},{encode_float(value.imag)}]'
    if isinstance(value, bytes):
        return f'["b","{bytes.hex(value)}"]'
    if isinstance(value, dict):
        pairs = [encode(one, handle) for pair in dict.items(value) for one in pair]
        return "[" + ",".join(['"d"', *pairs]) + "]"
    for plain, tag in CONTAINERS:
        if isinstance(value, plain):
            kinds = set(map(type, plain.__iter__(value)))
            if kinds == {str}:  # long lists are mostly of one kind
                items: map | list = map(_json.encode_basestring_ascii, plain.__iter__(value))
            elif kinds == {int} and all(-SMALL < one < SMALL for one in plain.__iter__(value)):
                items = map(int.__repr__, plain.__iter__(value))
            else:
                items = [encode(one, handle) for one in plain.__iter__(value)]
            return "[" + ",".join([f'"{tag}"', *items]) + "]"
    if kind is type and value in BUILTIN_TYPES:
        return f'["T","{value.__name__}"]'
    return handle(value)


def encode_float(value):
    text = float.__repr__(value)
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text, text)


class Scanner:
    """What the C scanner of JSON asks of whoever makes one."""

    strict, object_hook, object_pairs_hook = True, None, None
    memo: dict = {}  # noqa: RUF012
    parse_float, parse_int, parse_constant = float, int, float


SCAN = _json.make_scanner(Scanner())  # type: ignore[arg-type] # any object that has these attributes


def decode(text, held):
    """The value that `encode` wrote; ``held`` makes one of a handle's number. Raises ValueError for anything else."""
    try:
        value, end = SCAN(text, 0)
    except StopIteration:
        raise ValueError("no JSON") from None
    if end != len(text):
        raise ValueError("more than one value")
    return build(value, held)


def build(value, held):
    if type(value) is not list:
        if type(value) is dict:
            raise ValueError("an object")
        return value
    if not value or type(value[0]) is not str:
        raise ValueError("a list without a tag")
    tag = value[0]
    if tag in ("l", "t", "s", "f", "d"):
        items = value[1:]
        if list in set(map(type, items)) or dict in set(map(type, items)):
            items = [build(one, held) for one in items]
        if tag == "l":
            return items
        if tag == "d":
            return dict(zip(items[::2], items[1::2], strict=True))
        return {"t": tuple, "s": set, "f": frozenset}[tag](items)
    if tag == "i":
        return int(value[1], 16)
    if tag == "c":
        return complex(float(value[1]), float(value[2]))
    if tag == "b":
        return bytes.fromhex(value[1])
    if tag == "T":
        return TYPES[value[1]]
    if tag == "o":
        return held(int(value[1]))
    raise ValueError("an unknown tag")


# ---------------------------------------------------------------- the candidate's process
def confine():
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
    if not confined and not UNSAFE:  # noqa: F821 - which the judge puts before this text
        os.write(2, b"the candidate could not be confined\n")
        os._exit(1)


def may_look_up(path):
    try:
        os.stat(path)
    except FileNotFoundError:
        return False
    return True


def failure(error):
    """What it is, the builtin exception that it is one of, what it says."""
    known = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    return f"{type(error).__name__}\0{known.__name__}\0{error}"


def serve(source, requests, replies):
    """Load the program, then answer requests until the tests hang up."""
    confine()
    end_of_file, writer = os.pipe()
    os.close(writer)
    os.dup2(end_of_file, 0)
    os.close(end_of_file)
    os.dup2(2, 1)  # what it prints joins its tracebacks
    module = type(sys)("solution")
    sys.modules["solution"] = module
    try:
        exec(compile(source, "solution.py", "exec", dont_inherit=True), module.__dict__)
        send(replies, "")
    except Exception as error:
        send(replies, failure(error))
        raise
    kept = []

    def keep(value):
        kept.append(value)
        return f'["o",{len(kept) - 1}]'

    actions: dict = {
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
    }
    while True:
        try:
            action, *what = decode(receive(requests), kept.__getitem__)
        except EOFError:
            os._exit(0)
        try:
            value = actions[action](*what)
            limit = sys.getrecursionlimit()
            sys.setrecursionlimit(limit + DEEPER)  # what is nested is encoded by recursion
            try:
                reply = "=" + encode(value, keep)
            finally:
                sys.setrecursionlimit(limit)
        except Exception as error:  # noqa: BLE001 - whatever the candidate raises goes to the tests
            reply = "!" + failure(error)
        send(replies, reply)


# ---------------------------------------------------------------- the tests' process
class Handle:
    """A value that stays in the candidate's process. Equal to itself alone."""

    __slots__ = ("_number",)

    def __init__(self, number):
        object.__setattr__(self, "_number", number)

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
        return f"<object {self._number} of the program>"


def following(iterator):
    """Its next item. Raises Ended where there is none."""
    item = candidate.ask("next", iterator)
    if type(item) is not list or len(item) != 1:
        finish("raised", "the program forged a reply")
    return item[0]


class Ended(Exception):
    """The candidate's iterator has no more items."""


def handle_of(value):
    if type(value) is Handle:
        return f'["o",{value._number}]'
    raise TypeError(f"a {type(value).__name__} cannot be given to the program by these tests")


class Candidate:
    """The tests' side of the candidate's process."""

    def __init__(self, source):
        self.raised = None  # the exception that the last request raised, as the tests see it
        self.said = ""  # as the candidate raised it
        self.caught = ()  # names of the exceptions that the tests wait for
        theirs_in, self.requests = os.pipe()
        self.replies, theirs_out = os.pipe()
        self.alive = True
        compile("", "", "exec")  # what it makes at first, both processes have
        self.pid = os.fork()
        if self.pid == 0:
            os.close(self.requests)
            os.close(self.replies)
            serve(source, theirs_in, theirs_out)
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
        text = encode(list(request), handle_of)
        try:
            send(self.requests, text)
        except BrokenPipeError:
            self.end(9)
        reply = self.reply()
        if reply[:1] == "=":
            try:
                return decode(reply[1:], Handle)
            except (ValueError, TypeError, ArithmeticError, LookupError, RecursionError):
                finish("raised", "the program forged a reply, or one nested too deep")
        kind, _, rest = reply[1:].partition("\0")
        known, _, message = rest.partition("\0")
        if request[0] == "next" and known == "StopIteration":
            raise Ended
        self.said = f"{kind}: {message}"
        self.raised = self.exception(kind, known, message)
        raise self.raised

    def exception(self, kind, known, message):
        """The builtin exception that the candidate's is one of. Those that end a loop, or that make an attribute
        missing, only where the tests wait for them: otherwise the tests' own loop would end as if all was well."""
        builtin = getattr(builtins, known, None)
        if isinstance(builtin, type) and issubclass(builtin, Exception):
            quiet = issubclass(builtin, (StopIteration, StopAsyncIteration, IndexError, AttributeError))
            if not quiet or known in self.caught or (known == "IndexError" and "LookupError" in self.caught):
                try:
                    return builtin(message if kind == known else f"{kind}: {message}")
                except TypeError:  # it takes more than a message
                    pass
        return RuntimeError(f"{kind}: {message}")


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
        kind, _, rest = failed.partition("\0")
        finish("raised", f"{kind}: {rest.partition(chr(0))[2]}")
    names, caught, setup, tests, nonce = frames()
    candidate.caught = caught.split()
    sys.stdout = sys.stderr
    scope: dict = {"__name__": "tests"}
    for name in names.split():
        scope[name] = lambda *args, _name=name, **kwargs: candidate.ask("call", _name, args, kwargs)
    try:
        exec(compile(setup, "setup.py", "exec", dont_inherit=True), scope)
        exec(compile(tests, "tests.py", "exec", dont_inherit=True), scope)
    except Exception as error:  # noqa: BLE001 - the candidate's exception, or the tests choked on its value
        raised = error is candidate.raised
        detail = candidate.said if raised else f"{type(error).__name__}: {error}"
        finish("raised" if raised else "failed", detail.rstrip(": "))
    finish("passed")


builtins = __builtins__
candidate: Candidate = None  # type: ignore[assignment] # until it is loaded
nonce = ""  # unknown until the candidate is loaded
main()
