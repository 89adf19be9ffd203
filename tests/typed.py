"""Types are checked at every call while tests run, and shapes with them where there are any.

jaxtyping's hook would wrap every function of the package so that the axes of one call agree, and
check its arguments twice. Most functions have no array among their annotations: beartype alone asks
the same of them. The others are checked once, within jaxtyping's scope of axes.
"""

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import partial
from typing import Any, get_args, get_type_hints

import jaxtyping
from beartype import BeartypeConf, beartype

CHECK = beartype(conf=BeartypeConf(violation_type=TypeError))
"""As Python itself would raise further on, and as what reads foreign files expects."""
check_twice = jaxtyping.jaxtyped


def check_types(checked: Any = None, *, typechecker: Callable[..., Any]) -> Any:
    """In the place of `jaxtyping.jaxtyped`, which the hook calls for each function and class."""
    if checked is None:
        return partial(check_types, typechecker=typechecker)
    if not inspect.isclass(checked):
        return check_function(checked, typechecker)
    if is_dataclass(checked) and "__init__" in vars(checked):
        checked.__init__ = check_function(checked.__init__, typechecker)
    return checked


def check_function(function: Callable[..., Any], typechecker: Callable[..., Any]) -> Any:
    """The function, which raises where it is called with other types or axes that disagree."""
    try:
        hints = get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):  # names a class that does not exist yet
        return check_twice(function, typechecker=typechecker)
    function = CHECK(function)
    if any(holds_array(hint) for hint in hints.values()):
        return check_twice(function, typechecker=None)
    return function


def holds_array(hint: Any) -> bool:
    """Whether this type is an array of jaxtyping or is made of one."""
    if inspect.isclass(hint) and issubclass(hint, jaxtyping.AbstractArray):
        return True
    parts = hint if isinstance(hint, list) else get_args(hint)  # a Callable's arguments are a list
    return any(holds_array(part) for part in parts)


jaxtyping.jaxtyped = check_types
