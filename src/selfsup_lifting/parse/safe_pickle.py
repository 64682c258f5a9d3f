"""Numbers, text, containers and arrays from a pickle, without Python's unpickler.

A pickle is a program for a machine with a stack. This machine knows the operations that build plain
values, and builds them itself: no object of the pickle sets its own state, no function of the
pickle is called, and an array is made from bytes that are there.
"""

import codecs
import pickletools
import re
from collections.abc import Callable, Iterator, Mapping
from io import BytesIO
from pickle import UnpicklingError
from types import MappingProxyType
from typing import Any

import numpy as np

from selfsup_lifting.parse.pickled_arrays import (
    FUNCTIONS,
    NAMES,
    Kind,
    Name,
    Unfilled,
    filled,
)
from selfsup_lifting.read_errors import Place

# A value may be this many times larger than the pickle once all that is repeated is written out.
LARGEST_EXPANSION = 16
# How deep containers may be nested: reading them may need a call of a function for each level.
DEEPEST = 64
# Larger numbers as keys could all have one hash, and make a dict slow.
LARGEST_KEY = 2**60

_CODES = {operation.code: operation for operation in pickletools.opcodes}
_QUOTED = re.compile(rb"""'.*'|".*\"""")
_PLAIN = frozenset({"int", "int_or_bool", "float", "str", "bytes", "bytes_or_str", "bytearray"})
_LEAF = (0, 1)
_CONSTANTS: Mapping[str, Any] = MappingProxyType(
    {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
)


def unpickle(content: bytes, place: Place) -> Any:  # noqa: ANN401 - any content of the pickle
    """Read numbers, text, lists, tuples, dicts and arrays from a pickle.

    Args:
        content: The pickle.
        place: Where it comes from, for the message of an error.

    Returns:
        The object in the pickle; an array of objects as nested lists.

    Raises:
        ReadError: If it is damaged, or uses any other function or class, which could run code.
    """
    try:
        return _Machine(LARGEST_EXPANSION * max(len(content), 1024)).run(_operations(content))
    except (
        UnpicklingError, EOFError, AttributeError, IndexError, KeyError, TypeError,
        ValueError, OverflowError, MemoryError, RecursionError,
        DeprecationWarning,  # of an unknown escape, where warnings are errors
    ) as error:  # fmt: skip
        reason = " ".join(str(error).split())
        raise place.error(
            f"its pickle is damaged, or could run code and is refused: {reason}"
        ) from None


def _operations(content: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the name of each operation, and its argument, until the operation STOP."""
    stream = BytesIO(content)
    while code := stream.read(1):
        operation = _CODES[code.decode("latin1")]
        if operation.name == "STRING":  # which pickletools reads only if it is ASCII
            yield operation.name, _text(stream.readline().strip())
        else:
            yield operation.name, operation.arg.reader(stream) if operation.arg else None
        if operation.name == "STOP":
            return
    raise UnpicklingError("the pickle ends too early")


def _text(quoted: bytes) -> str:
    """Return the text between quotes in a pickle of Python 2."""
    if not _QUOTED.fullmatch(quoted):
        raise UnpicklingError("a text without quotes is not allowed")
    return codecs.escape_decode(quoted[1:-1])[0].decode("latin1")


class _Machine:
    """The stack, what is remembered, and the depth and size of each container."""

    def __init__(self, largest: int) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memory: dict[int, Any] = {}
        self.largest = largest
        # By identity, with the container itself, so that no other one takes its identity.
        self.sizes: dict[int, tuple[tuple[int, int], Any]] = {}
        self.inside: set[int] = set()

    def run(self, operations: Iterator[tuple[str, Any]]) -> Any:  # noqa: ANN401 - any content
        """Do all operations; return what is left."""
        for name, argument in operations:
            if name in _CONSTANTS:
                self.stack.append(_CONSTANTS[name])
            elif name in _PUSHED:
                self.stack.append(argument)
            elif name in _OPERATIONS:
                _OPERATIONS[name](self, argument)
            elif name not in {"PROTO", "FRAME", "STOP"}:
                raise UnpicklingError(f"the operation {name} is not allowed")
        (value,) = self.stack
        self.size_inside(value)
        return value

    def since_mark(self) -> list[Any]:
        """Take what was put on the stack since the last mark."""
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items

    def size_inside(self, value: Any) -> tuple[int, int]:  # noqa: ANN401 - any content
        """Return the depth and size of a value that becomes part of another: it is complete now."""
        if isinstance(value, Unfilled):
            raise UnpicklingError("an array without content is not allowed")
        self.inside.add(id(value))
        return self.sizes[id(value)][0] if id(value) in self.sizes else _LEAF

    def put(self, container: Any, *parts: Any) -> None:  # noqa: ANN401 - any content
        """Put a new container of these parts on the stack."""
        self.sizes[id(container)] = (_LEAF, container)
        self.inside.discard(id(container))
        self.grow(container, parts)
        self.stack.append(container)

    def grow(self, container: Any, parts: Any) -> None:  # noqa: ANN401 - any content
        """Count parts that a container gets. One that is complete, or would be huge, is refused."""
        inner = [self.size_inside(part) for part in parts]
        if id(container) in self.inside or id(container) not in self.sizes:
            raise UnpicklingError("a container that contains itself is not allowed")
        (depth, size), _ = self.sizes[id(container)]
        depth = max([depth, *(1 + each for each, _ in inner)])
        size += sum(each for _, each in inner)
        if depth > DEEPEST or size > self.largest:
            raise UnpicklingError(f"{size} values, {depth} containers deep, are not allowed")
        self.sizes[id(container)] = ((depth, size), container)

    def remember(self, key: int | None) -> None:
        """Remember the top of the stack; without a key under the next number."""
        key, value = len(self.memory) if key is None else key, self.stack[-1]
        self.memory[key] = value
        if isinstance(value, Unfilled):
            value.memos.append(key)

    def name(self, words: str | None) -> None:
        """Put a name on the stack: "module name", or the two that are on the stack."""
        pair = words.split(" ", 1) if words else [self.stack.pop(-2), self.stack.pop()]
        for part in pair:
            if not isinstance(part, str):
                raise UnpicklingError(f"a name of {type(part).__name__} is not allowed")
        named = Name(*pair)
        if named not in NAMES:
            raise UnpicklingError(f"{named!s:.60} is not allowed")
        self.stack.append(named)

    def call(self) -> None:
        """Do what stands for a function and its arguments, both on the stack."""
        function, arguments = self.stack.pop(-2), self.stack.pop()
        if not isinstance(function, Name) or function not in FUNCTIONS:
            raise UnpicklingError(f"a call of {function!s:.60} is not allowed")
        self.stack.append(FUNCTIONS[function](*arguments))

    def build(self) -> None:
        """Give a dtype its byte order, or an array its content; nothing else has a state."""
        state, item = self.stack.pop(), self.stack[-1]
        if isinstance(item, Kind):
            item.complete(state)
        elif isinstance(item, Unfilled):
            value = self.stack[-1] = filled(state)
            self.memory.update(dict.fromkeys(item.memos, value))
            # The nested lists of an array of objects are as large as the objects, and deeper.
            (depth, size), _ = self.sizes[id(state)]
            self.sizes.setdefault(id(value), ((depth + len(state[1]), size), value))
        else:
            raise UnpicklingError(f"the state of {type(item).__name__} is not allowed")

    def extend(self, parts: list[Any]) -> None:
        """Add parts to the list on the stack."""
        whole = self.stack[-1]
        self.grow(whole, parts)
        whole.extend(parts)

    def update(self, parts: list[Any]) -> None:
        """Add keys and values in turn to the dict on the stack."""
        whole = self.stack[-1]
        self.grow(whole, parts)
        whole |= zip(map(_key, parts[::2]), parts[1::2], strict=True)

    def add(self, parts: list[Any]) -> None:
        """Add parts to the set on the stack."""
        whole = self.stack[-1]
        self.grow(whole, parts)
        whole |= set(map(_key, parts))

    def put_dict(self, parts: list[Any]) -> None:
        """Put a dict of keys and values in turn on the stack."""
        self.put({})
        self.update(parts)


def _key(value: Any) -> Any:  # noqa: ANN401 - any content of the pickle
    """Return a key of a dict: text, bytes, a number, or a tuple of these."""
    if isinstance(value, tuple):
        return tuple(map(_key, value))
    if value is not None and not isinstance(value, str | bytes | int | float | np.generic):
        raise UnpicklingError(f"a key of type {type(value).__name__} is not allowed")
    if isinstance(value, int) and abs(value) > LARGEST_KEY:
        raise UnpicklingError("a key of more than 60 bits is not allowed")
    return value


def _mark(machine: _Machine) -> None:
    machine.marks.append(len(machine.stack))


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    def put(machine: _Machine, _: Any) -> None:  # noqa: ANN401 - no argument
        parts = tuple(reversed([machine.stack.pop() for _ in range(count)]))
        machine.put(parts, *parts)

    return put


# Those whose argument is the value: integers, floats, text and bytes.
_PUSHED = frozenset(
    operation.name
    for operation in pickletools.opcodes
    if operation.arg and operation.stack_after and operation.stack_after[0].name in _PLAIN
)
_OPERATIONS: Mapping[str, Callable[[_Machine, Any], object]] = MappingProxyType(
    {
        "MARK": lambda machine, _: _mark(machine),
        "POP": lambda machine, _: machine.stack.pop(),
        "POP_MARK": lambda machine, _: machine.since_mark(),
        "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
        "EMPTY_LIST": lambda machine, _: machine.put([]),
        "EMPTY_DICT": lambda machine, _: machine.put({}),
        "EMPTY_SET": lambda machine, _: machine.put(set()),
        "TUPLE1": _tuple_of(1),
        "TUPLE2": _tuple_of(2),
        "TUPLE3": _tuple_of(3),
        "TUPLE": lambda machine, _: machine.put(parts := tuple(machine.since_mark()), *parts),
        "LIST": lambda machine, _: machine.put(parts := machine.since_mark(), *parts),
        "FROZENSET": lambda machine, _: machine.put(
            frozenset(map(_key, parts := machine.since_mark())), *parts
        ),
        "DICT": lambda machine, _: machine.put_dict(machine.since_mark()),
        "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
        "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
        "SETITEM": lambda machine, _: machine.update(
            [machine.stack.pop(-2), machine.stack.pop()]
        ),
        "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
        "ADDITEMS": lambda machine, _: machine.add(machine.since_mark()),
        "GLOBAL": lambda machine, words: machine.name(words),
        "STACK_GLOBAL": lambda machine, _: machine.name(None),
        "REDUCE": lambda machine, _: machine.call(),
        "BUILD": lambda machine, _: machine.build(),
    }
    | {name: lambda machine, key: machine.remember(key) for name in
       ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE")}
    | {name: lambda machine, key: machine.stack.append(machine.memory[key]) for name in
       ("GET", "BINGET", "LONG_BINGET")}
)  # fmt: skip
