"""The program that runs asserts inside the sandbox; `strop.rewards.asserts` sends its text there and never imports it.

Two processes. The candidate is loaded by a forked child that has neither stdin nor stdout, and that answers calls over
a pair of pipes with plain literals. The tests run in this process, which never executes a line of the candidate's: it
turns the replies back into fresh builtin objects and compares those. So nothing that the candidate does to builtins, to
``__eq__``, to the stack or to its own process can reach an assert.

Frames are a 4-byte length and UTF-8. On stdin: candidate, names, setup, tests, nonce. Nothing is imported but the
built-in ``posix`` and ``sys``, since every import costs a millisecond.
"""

import posix as os
import sys


def read(fd, size):
    data = bytearray()
    while len(data) < size:
        chunk = os.read(fd, min(size - len(data), 1 << 20))
        if not chunk:
            raise EOFError
        data += chunk
    return data


def receive(fd):
    return read(fd, int.from_bytes(read(fd, 4), "big")).decode("utf-8", "surrogatepass")


def send(fd, text):
    data = text.encode("utf-8", "surrogatepass")
    data = memoryview(len(data).to_bytes(4, "big") + data)
    while data:
        data = data[os.write(fd, data) :]


def to_literal(value):
    """Python source for ``value``, whose subclasses of builtin containers become the plain ones."""
    if value is None or value is True or value is False:
        return repr(value)
    if isinstance(value, int):
        return hex(value)  # decimal digits are limited to 4,300
    for plain in (float, complex, str, bytes):
        if isinstance(value, plain):
            return plain.__repr__(value)
    if isinstance(value, dict):
        return "{" + ",".join(f"{to_literal(k)}:{to_literal(v)}" for k, v in value.items()) + "}"
    for plain, left, right in ((list, "[", "]"), (tuple, "(", ")"), (set, "{*(", ")}"), (frozenset, "{*[", "]}")):
        if isinstance(value, plain):
            return left + "".join(to_literal(item) + "," for item in value) + right
    raise TypeError(f"a {type(value).__name__} cannot be compared by these tests")


def from_literal(text):
    """The value that `to_literal` wrote. Builds it from the syntax tree: nothing of ``text`` is ever executed."""
    return build(compile(text, "<reply>", "eval", flags=0x400, dont_inherit=True).body)  # PyCF_ONLY_AST


def build(node):
    kind = type(node).__name__
    if kind == "Constant":
        return node.value
    if kind == "UnaryOp" and type(node.op).__name__ == "USub":
        return -build(node.operand)
    if kind == "Name" and node.id in ("inf", "nan", "infj", "nanj"):
        return complex(node.id) if node.id.endswith("j") else float(node.id)
    if kind == "BinOp":  # the two halves of a complex number
        left, right = build(node.left), build(node.right)
        return left + right if type(node.op).__name__ == "Add" else left - right
    if kind == "Tuple":
        return tuple([build(item) for item in node.elts])
    if kind == "List":
        return [build(item) for item in node.elts]
    if kind == "Set":
        items = build(node.elts[0].value)  # starred: a tuple makes a set, a list a frozenset
        return set(items) if isinstance(items, tuple) else frozenset(items)
    if kind == "Dict":
        return {build(key): build(value) for key, value in zip(node.keys, node.values, strict=True)}
    raise ValueError(f"{kind} in a reply")


def serve(source, requests, replies):
    """The candidate's process: load the program, then answer calls until the tests hang up."""
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
        send(replies, type(error).__name__ + "\0" + str(error))
        raise
    while True:
        try:
            name, args, kwargs = from_literal(receive(requests))
        except EOFError:
            os._exit(0)
        try:
            reply = "=" + to_literal(getattr(module, name)(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - whatever the candidate raises goes to the tests
            reply = "!" + type(error).__name__ + "\0" + str(error)
        send(replies, reply)


class Candidate:
    """The tests' side of the candidate's process."""

    def __init__(self, source):
        self.raised = None  # the exception that the last call raised
        theirs_in, self.requests = os.pipe()
        self.replies, theirs_out = os.pipe()
        self.alive = True
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
        except EOFError:
            status = os.waitpid(self.pid, 0)[1]
            self.alive = False
            if os.WIFSIGNALED(status):
                finish("signal", str(os.WTERMSIG(status)))
            finish("raised", f"the program exited with status {os.WEXITSTATUS(status)} while it was being tested")

    def end(self):
        """Kill the process and reap it: an orphan would stay a zombie where PID 1 of a container does not reap."""
        if self.alive:
            os.kill(self.pid, 9)
            os.waitpid(self.pid, 0)

    def call(self, name, args, kwargs):
        send(self.requests, to_literal((name, args, kwargs)))
        reply = self.reply()
        if reply[0] == "=":
            return from_literal(reply[1:])
        kind, _, message = reply[1:].partition("\0")
        known = getattr(builtins, kind, None)
        plain = isinstance(known, type) and issubclass(known, Exception) and not issubclass(known, UnicodeError)
        self.raised = known(message) if plain else RuntimeError(f"{kind}: {message}")
        raise self.raised


def finish(outcome, detail=""):
    """Tell the judge how it went, and stop at once: the tests' own handlers must not swallow it."""
    sys.stderr.flush()
    if candidate is not None:
        candidate.end()
    os.write(1, f"{outcome}\n{nonce}\n{detail[:500]}".encode("utf-8", "replace"))
    os._exit(0)


def main():
    global candidate, nonce
    candidate = Candidate(receive(0))
    failure = candidate.reply()  # to being loaded
    if failure:
        finish("raised", failure.replace("\0", ": "))
    names, setup, tests, nonce = receive(0).split(), receive(0), receive(0), receive(0)
    sys.stdout = sys.stderr
    scope = {"__name__": "tests"}
    exec(compile(setup, "setup.py", "exec", dont_inherit=True), scope)
    for name in names:
        scope[name] = lambda *args, _name=name, **kwargs: candidate.call(_name, args, kwargs)
    try:
        exec(compile(tests, "tests.py", "exec", dont_inherit=True), scope)
    except AssertionError as error:
        finish("failed", f"AssertionError: {error}".rstrip(": "))
    except Exception as error:  # noqa: BLE001 - the candidate's exception, or the tests choked on its value
        outcome = "raised" if error is candidate.raised else "failed"
        finish(outcome, f"{type(error).__name__}: {error}".rstrip(": "))
    finish("passed")


builtins = __builtins__
candidate = None
nonce = ""  # unknown until the candidate is loaded
main()
