"""Parses and checks mail addresses, before they are sent to a server."""

from collections.abc import Iterable, Sequence
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from aetherflow.core.api import PlainText


def parse_addresses(given: str | Sequence[str]) -> list[Address]:
    """The addresses in `a@x, "B, C" <b@x>` or a list of such texts, without duplicates.

    ValueError if one is invalid.
    """
    texts = [given] if isinstance(given, str) else list(given)
    found: dict[str, Address] = {}
    for text in texts:
        for address in _parse(text):
            found.setdefault(address.addr_spec, address)
    return list(found.values())


def _parse(text: str) -> Iterable[Address]:
    if not text.strip():
        return []
    if any(ord(letter) < 32 or ord(letter) == 127 for letter in text):
        raise ValueError(f"{text!r} holds a control character")
    if ";" in text and '"' not in text:
        raise ValueError(f"{text!r}: separate addresses by commas")
    message = EmailMessage(policy=SMTP)
    try:
        message["To"] = text
        header = message["To"]
        addresses, defects = header.addresses, header.defects
    except (ValueError, IndexError, AttributeError) as error:  # the parser raises any of these
        raise ValueError(f"{text!r} is no mail address") from error
    for address in addresses:
        domain = address.domain
        if not address.username or not domain or " " in domain or domain.startswith(".") or ".." in domain:
            raise ValueError(f"{str(address) or text!r} is no mail address: it should look like name@example.com")
        if not address.username.isascii():
            raise ValueError(f"{address}: few servers take other letters than ASCII before the @")
    if defects or not addresses:
        raise ValueError(f"{text!r} is no mail address, or no list of them")
    return list(addresses)


def wire_form(address: Address) -> str:
    """The address for the SMTP envelope, with its domain in IDNA form; ValueError if there is none."""
    domain = address.domain
    if not domain.isascii():
        try:
            domain = domain.encode("idna").decode()
        except UnicodeError as error:
            raise ValueError(f"{address.addr_spec}: {domain} is no domain name") from error
    return Address(username=address.username, domain=domain).addr_spec


def _checked(value: list[str]) -> list[str]:
    return [str(address) for address in parse_addresses(value)]


def _listed(value: Any) -> Any:
    if value is None:
        return []
    if isinstance(value, str) and value.lstrip().startswith("["):
        import json

        try:
            found = json.loads(value)
        except ValueError:
            return [value]
        return found if isinstance(found, list) else [value]
    return [value] if isinstance(value, str) else value


AddressList = Annotated[
    list[PlainText], BeforeValidator(_listed, json_schema_input_type=list[str] | str), AfterValidator(_checked)
]
"""One or more addresses: a comma-separated text, or a list."""


def _one(value: str) -> str:
    found = parse_addresses(value)
    if len(found) != 1:
        raise ValueError(f"{value!r} must be one address")
    return str(found[0])


OneAddress = Annotated[PlainText, AfterValidator(_one)]
