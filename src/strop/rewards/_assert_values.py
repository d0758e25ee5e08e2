"""Frames and values between a program and the asserts that it is judged by: both processes of the sandbox have this
module, which `strop.rewards.asserts` sends there with `_assert_harness`.

A value is JSON. Numbers, strings, true, false and null are themselves; everything else is a list: a tag, then what it
is made of. What is read is built anew of primitive data: no line of the other process's runs for it, whatever it sent.
Lists, dicts and the like that a request lends have numbers, in the order in which they begin; a reply may name them.

Little is imported, since imports cost milliseconds: the modules of dates, fractions and the like when one arrives.
"""

import _json
import builtins
import posix as os
import sys

LONGEST = 1 << 28
"""Bytes of a frame; a length beyond it is a forged one."""
SMALL = 1 << 4000
"""Whole numbers beyond it are written in hexadecimal; Python reads no more than 4,300 decimal digits."""
PLAIN = (int, float, complex, str, bytes, bool, list, tuple, dict, set, frozenset, object, type, type(None), range)
TYPES = {kind.__name__: kind for kind in PLAIN}


# ---------------------------------------------------------------- frames: a length of 4 bytes, and UTF-8
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


# ---------------------------------------------------------------- exceptions
def failure(error):
    """What it is, the builtin exception that it is one of, what it was made of (JSON; nothing where that is more than
    values), what it says."""
    known = next(kind for kind in type(error).__mro__ if kind.__module__ == "builtins")
    try:
        made_of = Writer(no_value).write(list(known.__reduce__(error)[1]))  # type: ignore[call-arg]
    except Exception:  # noqa: BLE001 - classes of the program's may raise anything
        made_of = ""
    return f"{type(error).__name__}\0{known.__name__}\0{made_of}\0{error}"


def no_value(*_):
    raise TypeError("no value")


class Failure:
    """What `failure` wrote, of whichever process: of builtin classes alone, and their own constructors'."""

    def __init__(self, text):
        self.kind, _, rest = text.partition("\0")
        self.known, _, rest = rest.partition("\0")
        self.made_of, _, self.message = rest.partition("\0")

    def __str__(self):
        return f"{self.kind}: {self.message}"

    def error(self):
        """The exception; where its class takes neither what it was made of nor a message, the nearest above it."""
        kind = getattr(builtins, self.known, None)
        if not isinstance(kind, type) or not issubclass(kind, Exception):
            return RuntimeError(str(self))
        try:
            made = kind(*Reader(no_value).read(self.made_of))
            if kind.__str__(made) == self.message:  # or the program's class says it in its own way
                return made
        except FORGED:
            pass
        for base in kind.__mro__[:-2]:
            try:
                return base(self.message)
            except TypeError:
                continue
        return RuntimeError(str(self))


# ---------------------------------------------------------------- writing
CONTAINERS: tuple[tuple, ...] = ((list, "l"), (tuple, "t"), (set, "s"), (frozenset, "f"))
EMPTY: dict = {}
VIEWS = ((type(EMPTY.keys()), "k"), (type(EMPTY.items()), "p"), (type(EMPTY.values()), "v"))


class Writer:
    """Writes values; ``handle`` gives the JSON of what is none. ``lent``: numbers of mutable objects by their id; with
    ``lends`` those that are met for the first time get one, and ``objects`` has them in order."""

    def __init__(self, handle, lent=None, lends=False):
        self.handle, self.lends = handle, lends
        self.lent = {} if lent is None else lent
        self.objects = []

    def write(self, value):
        """JSON for ``value``, whose subclasses of plain types become the plain ones."""
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
            return write_float(value)
        if isinstance(value, str):
            return _json.encode_basestring_ascii(str.__str__(value))
        if isinstance(value, complex):
            return f'["c",{write_float(value.real)},{write_float(value.imag)}]'
        if isinstance(value, bytes):
            return f'["b","{bytes.hex(value)}"]'
        if isinstance(value, dict):
            return self.known(value) or self.dictionary(value)
        for plain, tag in CONTAINERS:
            if isinstance(value, plain):
                if tag in "ls" and (number := self.known(value)):
                    return number
                head = [f'"{tag}"'] if plain in (kind, list, set) else of_tuple(value) or [f'"{tag}"']
                return "[" + ",".join([*head, *self.items(plain, value)]) + "]"
        if kind is type and value in PLAIN:
            return f'["T","{value.__name__}"]'
        return self.rarer(value)

    def known(self, value):
        """What names an object that has been lent, or None."""
        number = self.lent.get(id(value))
        if number is not None:
            return f'["@",{number}]'
        if self.lends:
            self.lent[id(value)] = len(self.objects)
            self.objects.append(value)
        return None

    def items(self, plain, value):
        kinds = set(map(type, plain.__iter__(value)))
        if kinds == {str}:  # long lists are mostly of one kind
            return map(_json.encode_basestring_ascii, plain.__iter__(value))
        if kinds == {int} and all(-SMALL < one < SMALL for one in plain.__iter__(value)):
            return map(int.__repr__, plain.__iter__(value))
        return [self.write(one) for one in plain.__iter__(value)]

    def dictionary(self, value):
        items, tag = dict.items, "d"
        if type(value) is not dict and is_a(value, "collections", "OrderedDict"):
            items, tag = type(value).items, "O"  # its order is its own
        elif type(value) is not dict and is_a(value, "collections", "Counter"):
            tag = "C"
        return "[" + ",".join([f'"{tag}"', *(self.write(one) for pair in items(value) for one in pair)]) + "]"

    def rarer(self, value):
        """Of the standard library's other values, those that are what they are made of."""
        if isinstance(value, range):
            return self.listed("r", value.start, value.stop, value.step)
        if isinstance(value, bytearray):
            return self.known(value) or f'["B","{bytes(value).hex()}"]'
        for kind, tag in VIEWS:
            if isinstance(value, kind):
                return self.listed(tag, *(one for pair in value for one in pair) if tag == "p" else value)
        if is_a(value, "collections", "deque"):
            return self.known(value) or self.listed("q", value.maxlen, *value)
        if is_a(value, "fractions", "Fraction"):
            return self.listed("F", value.numerator, value.denominator)
        if is_a(value, "decimal", "Decimal"):
            return self.listed("D", sys.modules["decimal"].Decimal.__str__(value))
        parts = of_time(value)
        return self.handle(value) if parts is None else self.listed("E", *parts)

    def listed(self, tag, *parts):
        return "[" + ",".join([f'"{tag}"', *map(self.write, parts)]) + "]"


def write_float(value):
    text = float.__repr__(value)
    return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}.get(text, text)


def is_a(value, module, name):
    """Whether it is an instance of a class of a module that somebody has imported: without that, there is none."""
    kind = getattr(sys.modules.get(module), name, None)
    return isinstance(kind, type) and isinstance(value, kind)


def of_tuple(value):
    """The beginning of a named tuple; None for others, and for one whose names `namedtuple` would refuse."""
    fields = getattr(type(value), "_fields", None)
    if type(fields) is not tuple or len(fields) != len(value):
        return None
    names = (type(value).__name__, *fields)
    if not all(type(one) is str and one.isidentifier() and one[0] != "_" for one in names):
        return None
    return ['"n"', "[" + ",".join(map(_json.encode_basestring_ascii, names)) + "]"]


def of_time(value):
    """Name and parts of a date, time or difference; None for anything else, and where the time zone is no constant."""
    if is_a(value, "datetime", "timedelta"):
        return "timedelta", value.days, value.seconds, value.microseconds
    if is_a(value, "datetime", "timezone"):
        return "timezone", *value.__getinitargs__()
    date = is_a(value, "datetime", "date") and (value.year, value.month, value.day)
    is_both = is_a(value, "datetime", "datetime")
    if date and not is_both:
        return "date", *date
    if not is_both and not is_a(value, "datetime", "time"):
        return None
    if value.tzinfo is not None and type(value.tzinfo) is not sys.modules["datetime"].timezone:
        return None
    clock = value.hour, value.minute, value.second, value.microsecond, value.tzinfo, value.fold
    return ("datetime", *date, *clock) if is_both else ("time", *clock)


# ---------------------------------------------------------------- reading
class Scanner:
    """What the C scanner of JSON asks of whoever makes one."""

    strict, object_hook, object_pairs_hook = True, None, None
    memo: dict = {}  # noqa: RUF012
    parse_float, parse_int, parse_constant = float, int, float


SCAN = _json.make_scanner(Scanner())  # type: ignore[arg-type] # any object that has these attributes
FORGED = (ValueError, TypeError, ArithmeticError, LookupError, RecursionError)
"""What `Reader.read` raises for what no `Writer` has written."""
MODULES = {"F": "fractions", "D": "decimal", "E": "datetime", "O": "collections", "C": "collections"}
MODULES |= {"q": "collections", "n": "collections"}
NAMED_TUPLES: dict = {}


class Reader:
    """Builds what a `Writer` wrote; ``held(tag, *parts)`` makes what is no value. ``lent``: the objects by number; with
    ``borrows`` the mutable ones that are built are added to it."""

    def __init__(self, held, lent=None, borrows=False):
        self.held, self.lent, self.borrows = held, [] if lent is None else lent, borrows

    def read(self, text):
        try:
            value, end = SCAN(text, 0)
        except StopIteration:
            raise ValueError("no JSON") from None
        if end != len(text):
            raise ValueError("more than one value")
        return self.build(value)

    def build(self, value):
        if type(value) is not list:
            if type(value) is dict:
                raise ValueError("an object")
            return value
        if not value or type(value[0]) is not str:
            raise ValueError("a list without a tag")
        tag = value[0]
        if tag == "l":
            made = self.borrowed([])
            made += self.all_of(value[1:])
            return made
        if tag in ("t", "f"):
            return (tuple if tag == "t" else frozenset)(self.all_of(value[1:]))
        if tag in ("d", "O", "C"):
            made = self.borrowed(
                {} if tag == "d" else self.of_module(tag, "OrderedDict" if tag == "O" else "Counter")()
            )
            made.update(self.pairs(value[1:]))
            return made
        if tag == "s":
            made = self.borrowed(set())
            made.update(self.all_of(value[1:]))
            return made
        if tag == "@":
            return self.lent[whole(value[1], 0)]
        if tag == "i":
            return int(value[1], 16)
        if tag == "c":
            return complex(float(value[1]), float(value[2]))
        if tag == "b":
            return bytes.fromhex(value[1])
        if tag == "B":
            return self.borrowed(bytearray.fromhex(value[1]))
        if tag == "T":
            return TYPES[value[1]]
        if tag in ("k", "p", "v", "r", "q", "n", "F", "D", "E"):
            return self.rarer(tag, value[1:])
        return self.held(tag, *value[1:])

    def all_of(self, items):
        kinds = set(map(type, items))
        return [self.build(one) for one in items] if list in kinds or dict in kinds else items

    def pairs(self, items):
        items = self.all_of(items)
        return dict(zip(items[::2], items[1::2], strict=True))

    def borrowed(self, made):
        if self.borrows:
            self.lent.append(made)
        return made

    def of_module(self, tag, name):
        __import__(MODULES[tag])  # of the standard library: there is no other on the path
        return getattr(sys.modules[MODULES[tag]], name)

    def rarer(self, tag, parts):
        if tag == "k":
            return dict.fromkeys(self.all_of(parts)).keys()
        if tag == "p":
            return self.pairs(parts).items()
        if tag == "v":
            return dict(enumerate(self.all_of(parts))).values()
        if tag == "q":
            most, *items = parts
            made = self.borrowed(self.of_module(tag, "deque")(maxlen=None if most is None else whole(most, 0)))
            made.extend(self.all_of(items))
            return made
        if tag == "n":
            names, *items = parts
            return self.named_tuple(tuple(names))(*self.all_of(items))
        parts = self.all_of(parts)
        if tag == "D":
            (text,) = parts
            if type(text) is not str:
                raise ValueError("no number")
            return self.of_module(tag, "Decimal")(text)
        if tag == "E":
            return self.time(*parts)
        parts = list(map(whole, parts))
        if tag == "r":
            return range(*parts)
        numerator, denominator = parts
        return self.of_module(tag, "Fraction")(numerator, denominator)

    def named_tuple(self, names):
        if names not in NAMED_TUPLES:
            if not all(type(one) is str for one in names):
                raise ValueError("no names")
            NAMED_TUPLES[names] = self.of_module("n", "namedtuple")(names[0], names[1:])
        return NAMED_TUPLES[names]

    def time(self, name, *parts):
        if name not in ("timedelta", "timezone", "date", "time", "datetime"):
            raise ValueError("no time")
        kind = self.of_module("E", name)
        if name == "timezone":
            return kind(*parts)
        if name in ("timedelta", "date"):
            return kind(*map(whole, parts))
        *clock, zone, fold = parts
        return kind(*map(whole, clock), zone, fold=whole(fold))


def whole(value, least=None):
    if type(value) is not int or (least is not None and value < least):
        raise ValueError("no whole number")
    return value
