"""Numbers that remember their written form: a number or boolean in a text field arrives as the text of the source.

YAML reads `1.10`, `007` and `1e3` as numbers. Only the model that takes a value knows whether text is wanted, so a
number whose `str()` differs from its source carries the source text until then.
"""

from collections.abc import Callable, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from pydantic import BaseModel, ValidationError

from aetherflow.core.base.location import DocPath

ModelT = TypeVar("ModelT", bound=BaseModel)
WrittenTexts = dict[DocPath, str]


class WrittenInt(int):
    """An integer with its written form, such as `007`."""

    text: str


class WrittenFloat(float):
    """A float with its written form, such as `1.10`."""

    text: str


WRITTEN = (WrittenInt, WrittenFloat)


def written_number(number: float, text: str) -> int | float:
    """The number; if `text` differs from its `str()`, as a WrittenInt or WrittenFloat."""
    if str(number) == text:
        return number
    found = WrittenInt(number) if isinstance(number, int) else WrittenFloat(number)
    found.text = text
    return found


def plain(value: Any) -> Any:
    """A copy of the value in which every WrittenInt and WrittenFloat is a plain number."""
    if isinstance(value, WRITTEN):
        return int(value) if isinstance(value, int) else float(value)
    if type(value) is dict:
        return {key: plain(item) for key, item in value.items()}
    return [plain(item) for item in value] if type(value) is list else value


def text_of(value: Any, word: str | None = None) -> str | None:
    """The text of a number, a boolean or a null; None for any other value.

    `word` is the written form of a boolean or null, such as `TRUE` or `~`. A null without a word has no text.
    """
    if isinstance(value, bool):
        return word or str(value).lower()
    if isinstance(value, int | float):
        return value.text if isinstance(value, WRITTEN) else str(value)
    return word if value is None else None


class Fitted(NamedTuple, Generic[ModelT]):
    """The result of `fit`: a model, or the error."""

    model: ModelT | None
    error: ValidationError | None
    """Why there is no model."""
    texts: WrittenTexts
    """The numbers, booleans and nulls that text fields took as text: path to text."""


def fit(model: type[ModelT], data: Any, text_at: Callable[[DocPath, Any], str | None]) -> Fitted[ModelT]:
    """Build a model from data; a number, boolean or null that the model refuses is tried again as text.

    So a field of type `int | str` gets the number. `text_at` gives the text of a value at a path, None if it has none.
    """
    try:
        return Fitted(model.model_validate(data), None, {})
    except ValidationError as error:
        # without its traceback, which holds this frame and those of all callers, and the frame holds the error: the
        # whole document would wait for the collector
        first = error.with_traceback(None)
    refused = _refused(first, data)
    texts = {
        path: text
        for path, value, _ in refused
        if not isinstance(value, str | dict | list) and (text := text_at(path, value)) is not None
    }
    if not texts:
        return Fitted(None, first, {})
    try:
        return Fitted(model.model_validate(with_texts(data, texts)), None, texts)
    except ValidationError as error:
        second = error.with_traceback(None)
    # values that are refused as text, too, are reported in their original form, unless the field takes only text
    wanted = {path for path, _, kind in refused if kind == "string_type"}
    if unfit := {path for path, *_ in _refused(second, data)} & texts.keys() - wanted:
        texts = {path: text for path, text in texts.items() if path not in unfit}
        try:
            return Fitted(model.model_validate(with_texts(data, texts)), None, texts)
        except ValidationError as error:
            second = error.with_traceback(None)
    return Fitted(None, second, texts)


def validated(model: type[ModelT], data: Any, written: Any) -> ModelT:
    """Build a model from rendered values; text fields get the text from `written`. Raises ValidationError."""
    try:
        return model.model_validate(data)
    except ValidationError:  # only now are texts looked for: most values fit as they are
        fitted = fit(model, data, lambda path, value: text_of(value_at(written, path, value)))
    if fitted.model is None:
        raise fitted.error or AssertionError
    return fitted.model


def with_texts(data: Any, texts: Mapping[DocPath, Any]) -> Any:
    """The data with these texts at their paths. Only containers on the paths are copied: aliases keep their value."""
    if not texts:
        return data
    if () in texts:
        return texts[()]
    root = data.copy()
    copies: dict[DocPath, Any] = {(): root}
    for path, text in texts.items():
        here = root
        for depth, part in enumerate(path[:-1], 1):
            if (prefix := path[:depth]) not in copies:
                here[part] = copies[prefix] = here[part].copy()
            here = copies[prefix]
        here[path[-1]] = text
    return root


def as_written(value: Any, source: Any) -> Any:
    """Restore the written form of the numbers in a value that was rendered from `source` and stored as JSON."""
    if isinstance(source, WRITTEN):
        return source if type(value) in (int, float) and value == source else value
    if isinstance(value, dict) and isinstance(source, dict):
        return {key: as_written(item, source.get(key)) for key, item in value.items()}
    if isinstance(value, list) and isinstance(source, list) and len(value) == len(source):
        return [as_written(item, own) for item, own in zip(value, source, strict=True)]
    return value


def _refused(error: ValidationError, data: Any) -> list[tuple[DocPath, Any, str]]:
    """Path, value and error type of each value that a model refused."""
    items = error.errors(include_url=False, include_context=False)
    return [(*_place(item["loc"], data), item["type"]) for item in items]


def _place(loc: DocPath, value: Any) -> tuple[DocPath, Any]:
    # pydantic names members of a union in `loc` too, and an item of a list that a validator has made of one value
    path: DocPath = ()
    for part in loc:
        if not isinstance(value, dict | list):
            break
        if part in value if isinstance(value, dict) else isinstance(part, int) and part < len(value):
            value, path = value[part], (*path, part)  # type: ignore[index]  # a key of a map or an index of a list
    return path, value


def value_at(data: Any, path: DocPath, default: Any = None) -> Any:
    """The value at a path, or the default."""
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return default
    return data
