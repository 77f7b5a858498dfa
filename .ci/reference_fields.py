"""An extension of griffe, which reads the sources for the reference.

The arguments of a pydantic model are its fields, so they get their types and defaults from there.
"""

from __future__ import annotations

from typing import Any

from griffe import Attribute, Class, DocstringSectionParameters, ExprCall, Extension, Module


class FieldsAsArguments(Extension):
    """Fills in the tables of arguments of classes that have no constructor of their own."""

    def on_package(self, *, pkg: Module, **kwargs: Any) -> None:
        """Called when a package was read as a whole."""
        self._fill(pkg)

    def _fill(self, scope: Module | Class) -> None:
        for member in scope.members.values():
            if member.is_alias:
                continue
            if isinstance(member, Class) and member.docstring and "__init__" not in member.members:
                for section in member.docstring.parsed:
                    if isinstance(section, DocstringSectionParameters):
                        self._fill_section(section, member)
            if isinstance(member, Module | Class):
                self._fill(member)

    def _fill_section(self, section: DocstringSectionParameters, owner: Class) -> None:
        for parameter in section.value:
            field = owner.members.get(parameter.name)
            if not isinstance(field, Attribute):
                continue
            parameter.annotation = parameter.annotation or field.annotation
            if field.value is not None and not parameter.default:
                parameter.value = _default_of(field.value)


def _default_of(value: Any) -> Any:
    """The default of a field: what it is set to, or what `Field(default=…)` says."""
    if not isinstance(value, ExprCall) or str(value.function) != "Field":
        return value
    for argument in value.arguments:
        name = getattr(argument, "name", None)
        if name is None:
            return argument
        if name in ("default", "default_factory"):
            made = argument.value
            return made if name == "default" else f"{made}()" if str(made).isidentifier() else "…"
    return value
