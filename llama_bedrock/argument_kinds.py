"""Arguments of the wrong kind: refused where they are given, by the annotations of what takes them.

A text where a number is meant, a number where a function is meant, or ``None`` out of an unset variable would
else be found out far away, or never: a guardrail without an id guards nothing.
"""

from __future__ import annotations

import builtins
import collections.abc
import re
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from inspect import Parameter, getattr_static, isclass, iscoroutinefunction, isfunction, signature, unwrap
from itertools import islice
from numbers import Integral, Real
from os import PathLike
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from annotated_types import Ge, Gt, Le

if sys.version_info >= (3, 12):
    from inspect import markcoroutinefunction

_T = TypeVar("_T", bound=Callable[..., Any])
_C = TypeVar("_C", bound=type)

AtLeastOne = Annotated[int, Ge(1)]
ZeroOrMore = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NotNegative = Annotated[float, Ge(0)]

_SHOWN = 12  # most characters of a text in the error: keys are longer
_LOOKED_AT = 100  # items of a list or a mapping
_PLAIN = (str, bytes, int, float, list, tuple, dict, set, frozenset, NoneType)
_WORDS: Mapping[Any, str] = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "a text",
    bytes: "bytes",
    NoneType: "None",
    collections.abc.Callable: "a function",
}


class WrongKindError(TypeError, ValueError):
    """An argument of another kind than is taken; its text names it and what it takes."""


def refuses_wrong_kinds(target: _T) -> _T:
    """Refuse what a function, or the constructor of a class, takes by its annotations no argument of.

    Numbers, texts, choices, containers and functions are checked, and the bounds of ``Annotated``. For any
    other class only plain values are refused: an object of a class of its own may do the same.

    Raises:
        WrongKindError: By the function that is returned.
    """
    if isclass(target):
        target.__init__ = refuses_wrong_kinds(target.__init__)  # type: ignore[method-assign]  # a class is made by it
        return cast(_T, target)
    kinds = _Kinds(target)

    @wraps(target)
    def call(*args: Any, **kwargs: Any) -> Any:
        kinds.refuse_wrong(args, kwargs)
        return target(*args, **kwargs)

    if sys.version_info >= (3, 12) and iscoroutinefunction(target):
        call = markcoroutinefunction(call)
    return cast(_T, call)


def refuses_wrong_kinds_in_methods(*inherited: str) -> Callable[[_C], _C]:
    """Make a class refuse them in its public methods: of the text "12" a list of ids would be 1 and 2.

    Args:
        *inherited: Methods of the classes it is made from that refuse them as well.
    """

    def decorate(made: _C) -> _C:
        public = [name for name in vars(made) if not name.startswith(("_", "model_"))]
        for name in (*public, *inherited):
            method = getattr_static(made, name)
            if isinstance(method, classmethod | staticmethod):
                setattr(made, name, type(method)(refuses_wrong_kinds(method.__func__)))
            elif isfunction(method):
                setattr(made, name, refuses_wrong_kinds(method))
        return made

    return decorate


def refuse_wrong_kind(name: str, kind: Any, value: Any) -> None:
    """Refuse a value among a call's other keywords, which no parameter is annotated for.

    Raises:
        WrongKindError: It is not of the kind.
    """
    if not _fits(kind, value):
        raise WrongKindError(_refusal(name, kind, value))


def _refusal(name: str, kind: Any, value: Any) -> str:
    return f"{name}={_shown(value)}: it takes {_described(kind)}"


class _Kinds:
    """What a function takes; its annotations are read at the first call."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._kinds: dict[str, tuple[Any, frozenset[type]]] | None = None
        self._positions: list[str] = []

    def refuse_wrong(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        kinds = self._read() if self._kinds is None else self._kinds
        for given in (zip(self._positions, args, strict=False), kwargs.items()):
            for name, value in given:
                if name in kinds and type(value) not in kinds[name][1] and not _fits(kinds[name][0], value):
                    owner = self._function.__qualname__.removesuffix(".__init__")
                    raise WrongKindError(f"{owner}: {_refusal(name, kinds[name][0], value)}")

    def _read(self) -> dict[str, tuple[Any, frozenset[type]]]:
        origin = unwrap(self._function)
        parameters = signature(origin).parameters.values()
        single = [p for p in parameters if p.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)]
        self._positions = [p.name for p in single if p.kind is not Parameter.KEYWORD_ONLY]
        names = _Names(vars(sys.modules[origin.__module__]))
        kinds = {p.name: _kind(p, names) for p in single if p.annotation is not Parameter.empty}
        self._kinds = {
            name: (kind, _sure(kind)) for name, kind in kinds.items() if kind not in (Any, _Unknown)
        }
        return self._kinds


def _kind(parameter: Parameter, names: _Names) -> Any:
    holder = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        return get_type_hints(holder, dict(names), names, include_extras=True)[parameter.name]
    except AttributeError:
        return _Unknown  # numpy 1.26 has no `typing` before somebody imports it


class _OfUnknown(type):
    def __getitem__(cls, item: Any) -> type[_Unknown]:
        return _Unknown

    def __getattr__(cls, name: str) -> type[_Unknown]:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Unknown


class _Unknown(metaclass=_OfUnknown):
    """A name that only type checkers import, or what is in it."""


class _Names(dict[str, Any]):
    def __missing__(self, name: str) -> Any:
        if name.startswith("__"):  # debuggers and pytest look into the frame for names of theirs
            raise KeyError(name)
        return getattr(builtins, name, None) or getattr(collections.abc, name, _Unknown)


def _sure(kind: Any) -> frozenset[type]:
    """Classes of which every value fits: most arguments are of one, and to look further takes long."""
    if kind in (str, int, bool, NoneType):
        return frozenset({kind})
    if get_origin(kind) in (Union, UnionType) and not _is_path(get_args(kind)):
        return frozenset[type]().union(*map(_sure, get_args(kind)))
    return frozenset()


def _fits(kind: Any, value: Any) -> bool:
    if kind in (Any, _Unknown):
        return True
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _fits(arguments[0], value) and all(_within(bound, value) for bound in arguments[1:])
    if origin in (Union, UnionType):
        if value is None and NoneType in arguments:
            return True
        unset = isinstance(value, str) and not value and _is_path(arguments)  # which would be this folder
        return not unset and any(_fits(one, value) for one in arguments)
    if is_typeddict(kind):
        return isinstance(value, collections.abc.Mapping)
    if origin is Literal:
        is_bool = isinstance(value, bool)  # which is a 1 or a 0 too
        same = (one for one in arguments if isinstance(value, type(one)) and isinstance(one, bool) == is_bool)
        return any(value == one for one in same)
    if kind in (int, float):
        number = isinstance(value, Integral if kind is int else Real) and not isinstance(value, bool)
        return number and value == value  # NaN is no number
    if kind is None:
        return value is None
    if origin is collections.abc.Callable or kind is collections.abc.Callable:
        return callable(value)
    taken = origin or kind
    if not isclass(taken):
        return True  # a type variable
    if not issubclass(taken, collections.abc.Iterable) or taken in (str, bytes):
        return isinstance(value, taken) if taken in (*_PLAIN, bool) else _may_be(taken, value)
    return _container_fits(taken, arguments, value)


def _is_path(kinds: tuple[Any, ...]) -> bool:
    return str in kinds and any((get_origin(kind) or kind) in (Path, PathLike) for kind in kinds)


def _may_be(taken: type, value: Any) -> bool:
    if getattr(taken, "_is_protocol", False) and not getattr(taken, "_is_runtime_protocol", False):
        return type(value) not in _PLAIN
    return isinstance(value, taken) or type(value) not in (*_PLAIN, bool)


def _container_fits(taken: type, arguments: tuple[Any, ...], value: Any) -> bool:
    if isinstance(value, str | bytes) or not isinstance(value, collections.abc.Iterable):
        return False  # a text is a sequence of letters, which is never meant
    if hasattr(type(value), "model_fields") and not hasattr(taken, "model_fields"):
        return False  # one Document is an iterable of its fields
    if not isinstance(value, taken) and (type(value) in _PLAIN or isinstance(value, collections.abc.Mapping)):
        return False  # others, as of numpy and pandas, may do
    if isinstance(value, collections.abc.Mapping) and len(arguments) == 2:
        items = islice(value.items(), _LOOKED_AT)
        return all(_fits(arguments[0], k) and _fits(arguments[1], v) for k, v in items)
    if not isinstance(value, collections.abc.Collection) or not arguments:
        return True  # an iterator is read by who uses it
    if taken is tuple and arguments[-1] is not Ellipsis:
        return len(value) == len(arguments) and all(map(_fits, arguments, value))
    if arguments[0] in (int, float):  # vectors are long, and who uses them says which number is NaN
        return all(one != one or _fits(arguments[0], one) for one in islice(value, 1))
    return all(_fits(arguments[0], one) for one in islice(value, _LOOKED_AT))


def _within(bound: Any, value: Any) -> bool:
    return not (
        (isinstance(bound, Ge) and not value >= bound.ge)
        or (isinstance(bound, Gt) and not value > bound.gt)
        or (isinstance(bound, Le) and not value <= bound.le)
    )


def _shown(value: Any) -> str:
    """A number or short text as it is; of others the class: they may be long, or hold a key."""
    if value is None or isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str) and len(value) <= _SHOWN:
        return repr(value)
    return f"(of class {type(value).__name__})"


def _described(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is None:
        return "None"
    if origin is Annotated:
        bounds = [bound for bound in map(_bound_text, arguments[1:]) if bound]
        return " ".join([_described(arguments[0]), *(["of", " and ".join(bounds)] if bounds else [])])
    if origin in (Union, UnionType):
        if _is_path(arguments):
            others = [kind for kind in arguments if (get_origin(kind) or kind) not in (str, Path, PathLike)]
            return " or ".join(dict.fromkeys(["a path", *map(_described, others)]))
        return " or ".join(dict.fromkeys(map(_described, arguments)))
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    taken = origin or kind
    if taken in _WORDS:
        return _WORDS[taken]
    if isclass(taken) and issubclass(taken, collections.abc.Mapping):
        described = [_many(argument) for argument in arguments]
        return " to ".join(["a mapping", *described]).replace(" to ", " of ", 1)
    if taken is tuple and arguments and arguments[-1] is not Ellipsis:
        return " and ".join(map(_described, arguments))
    if isclass(taken) and issubclass(taken, collections.abc.Iterable) and arguments:
        return f"a list of {_many(arguments[0])}"
    return str(getattr(taken, "__name__", taken))


def _many(kind: Any) -> str:
    one = _described(kind)
    many = {
        "Any": "anything",
        "a text": "texts",
        "a whole number": "whole numbers",
        "a number": "numbers",
        "a function": "functions",
    }
    return many.get(one) or re.sub("^a mapping", "mappings", one)


def _bound_text(bound: Any) -> str:
    if isinstance(bound, Ge):
        return f"at least {bound.ge}"
    if isinstance(bound, Gt):
        return f"over {bound.gt}"
    return f"at most {bound.le}" if isinstance(bound, Le) else ""
