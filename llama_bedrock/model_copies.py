"""Copies, with other values, of objects that pydantic's constructors made: in a fraction of the time.

Where many objects of a class differ in a few texts only, its validators look at the same things each time.
"""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel

ModelT = TypeVar("ModelT", bound=BaseModel)

_new = object.__new__
# The slots of every model, by their descriptors: `setattr` would look each of them up.
_SLOTS = ("__dict__", "__pydantic_fields_set__", "__pydantic_extra__", "__pydantic_private__")
_set_values, _set_fields, _set_extra, _set_private = (vars(BaseModel)[slot].__set__ for slot in _SLOTS)


def made(cls: type[ModelT], values: dict[str, Any], fields_set: set[str], extra: Any) -> ModelT:
    """An object with these values, which nobody validates; it has what pydantic's `model_construct` sets."""
    model = _new(cls)
    _set_values(model, values)
    _set_fields(model, fields_set.copy())
    _set_extra(model, None if extra is None else {})
    _set_private(model, None)
    return model


def common_state(
    first: BaseModel, second: BaseModel, *varying: str
) -> tuple[dict[str, Any], set[str], Any] | None:
    """Return what two objects have in common; None where more than some fields tells them apart.

    A later LangChain may keep more of a value than these fields: then its constructor makes each object.
    """
    values = [{**vars(model), **dict.fromkeys(varying)} for model in (first, second)]
    extras = first.__pydantic_extra__ or second.__pydantic_extra__
    private = first.__pydantic_private__ or second.__pydantic_private__
    if values[0] != values[1] or extras or private or first.model_fields_set != second.model_fields_set:
        return None
    if any(value and not isinstance(value, str) for value in values[0].values()):
        return None
    return values[0], first.model_fields_set, first.__pydantic_extra__
