"""Collects the changes of one part while its tree is read; changes inside a removed element are dropped."""

from collections.abc import Mapping

from aetherflow_builtins_reports.escaping import escape
from aetherflow_builtins_reports.package.markup import Edits, Element


class Pending:
    """Changed attributes and texts, and removed elements, in any order; the last value of an attribute wins."""

    def __init__(self) -> None:
        self._attributes: dict[int, tuple[Element, dict[str, str | None]]] = {}
        self._texts: dict[int, tuple[Element, str]] = {}
        self._removed: list[Element] = []

    def set(self, element: Element, values: Mapping[str, str | None]) -> None:
        if values:
            self._attributes.setdefault(element.start, (element, {}))[1].update(values)

    def write(self, element: Element, text: str) -> None:
        self._texts[element.start] = (element, text)

    def remove(self, element: Element) -> None:
        self._removed.append(element)

    def apply(self, edits: Edits) -> None:
        def stays(element: Element) -> bool:
            return not any(gone.start < element.start < gone.end for gone in self._removed)

        gone = {element.start for element in self._removed}
        for element, values in self._attributes.values():
            if element.start not in gone and stays(element):
                edits.set_attributes(element, **values)
        for element, text in self._texts.values():
            if element.start not in gone and stays(element):
                edits.replace(element.tag_end, element.inner_end, escape(text).encode())
        for element in self._removed:
            if stays(element):
                edits.remove(element)
