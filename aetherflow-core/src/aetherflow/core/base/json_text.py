"""JSON text of one small value after the other: that of `json.JSONEncoder.encode`, in half the time.

`encode` sets the encoder of the standard library up again for each value, which for a map of five texts takes longer
than the encoding; a step has five. Where Python has no encoder in C, `encode` it is.
"""

import json
from collections.abc import Callable
from typing import Any


def text_encoder(*, separators: tuple[str, str] = (", ", ": "), allow_nan: bool = True) -> Callable[[Any], str]:
    """A function that gives the text of a value, not ASCII alone; TypeError and ValueError as `json.dumps`.

    RecursionError for a value that holds itself.
    """
    plain = json.JSONEncoder(ensure_ascii=False, check_circular=False, separators=separators, allow_nan=allow_nan)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return plain.encode
    between, after_key = separators
    # as JSONEncoder.iterencode calls it: markers, default, encoder of texts, indent, separators, sort_keys, skipkeys
    parts = make(None, plain.default, json.encoder.encode_basestring, None, after_key, between, False, False, allow_nan)

    def encode(value: Any) -> str:
        return "".join(parts(value, 0))

    return encode
