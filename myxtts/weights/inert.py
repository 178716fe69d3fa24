"""Pickles read as data: what a pickle names becomes an inert stand-in, or what the reader allows.

A pickle is a small program that names functions and classes and calls them. Here nothing
that it names is ever imported: each name becomes a class that takes any arguments, any state
and any entries and does nothing with them. So the tensors beside a trainer's own objects can
be read, and a hostile file has nothing to call.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

Names = Mapping[tuple[str, str], Any]


class Inert:
    """Stands for an object whose class is unknown here; ``source`` is the name of that class."""

    source = ""
    # Asked for by torch of classes in files of before version 1.6.
    dump_patches = False

    def __new__(cls, *_args: Any, **_kwargs: Any):
        return object.__new__(cls)

    def __init__(self, *_args: Any, **_kwargs: Any):
        pass

    def __call__(self, *_args: Any, **_kwargs: Any) -> Inert:
        return self

    def _ignore(self, *_args: Any) -> None:
        pass

    __setstate__ = __setitem__ = append = extend = add = _ignore


class Entries(dict):
    """Any mapping of a pickle; what else its state says is left out."""

    def __setstate__(self, state: Any) -> None:
        pass


class Allowed:
    """A function that a pickle may call and cannot change."""

    def __init__(self, function: Callable):
        # On a class of its own: the state of a pickle reaches neither it nor the function.
        self.__class__ = type("Allowed", (Allowed,), {"_function": staticmethod(function)})

    def __call__(self, *args: Any) -> Any:
        return self._function(*args)

    def __setstate__(self, state: Any) -> None:
        pass


def pickle_module(allowed: Names) -> SimpleNamespace:
    """What ``torch.load`` takes for the module ``pickle``, with nothing in it but ``allowed``.

    Args:
        allowed: stands for each pair of a module and a name in it.
    """
    allowed = {("collections", "OrderedDict"): Entries} | dict(allowed)

    class Unpickler(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            if (module, name) in allowed:
                return allowed[module, name]
            return type("Inert", (Inert,), {"source": f"{module}.{name}"})

    def load(file: Any, **options: Any) -> Any:
        return Unpickler(file, **options).load()

    return SimpleNamespace(__name__=__name__, Unpickler=Unpickler, load=load)
