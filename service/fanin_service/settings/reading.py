"""Configuration: reads settings from the environment and the command line, and describes them for people."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

from pydantic import ByteSize, SecretStr, ValidationError

from fanin_service.settings import PREFIX, Settings, SettingsError, variable

OF_THE_LIBRARY = frozenset({"FANIN_BUILDER", "FANIN_SERVER", "FANIN_SIGNING_PASSPHRASE", "FANIN_SIMD", "FANIN_TOKEN"})
"""Variables with the prefix of settings that the library reads."""


def read(given: Mapping[str, Any]) -> Settings:
    """Return the settings of the environment. `given` has the options of the command line, which take precedence.

    Raises:
        SettingsError: a value is invalid, a variable is unknown, or a secret is on the command line, where others see
            it.
    """
    known = OF_THE_LIBRARY | {variable(name) for name in Settings.model_fields}
    unknown = [name for name in os.environ if name.startswith(PREFIX) and name not in known]
    if unknown:
        raise SettingsError([_misnomer(name, known) for name in sorted(unknown)])
    if shown := sorted(SECRETS & given.keys()):
        raise SettingsError([f"{option(name)}: others see the command line; set {variable(name)}" for name in shown])
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError([_complaint(details, given) for details in error.errors()]) from None


def option(name: str) -> str:
    """Return the command line's option for a setting."""
    return "--" + name.replace("_", "-")


def meaning(name: str) -> str:
    """Return the description of a setting in one line."""
    return " ".join(str(Settings.model_fields[name].description).split())


def default_text(name: str) -> str:
    """Return the default of a setting as users write it; an empty text if there is none."""
    default = Settings.model_fields[name].default
    match default:
        case None | ():
            return ""
        case dict():
            return "" if not default else json.dumps(default)
        case bool():
            return str(default).lower()
        case ByteSize():
            return re.sub(r"\.0(?=\D)", "", default.human_readable())
        case tuple():
            return ",".join(default)
        case _:
            return str(default)


def _types(annotation: Any) -> Iterator[Any]:
    """Yield a type and all types that it contains."""
    yield annotation
    for part in get_args(annotation):
        yield from _types(part)


SECRETS = frozenset(name for name, field in Settings.model_fields.items() if SecretStr in _types(field.annotation))
"""Settings that are never shown, and not accepted on the command line."""


def _misnomer(name: str, known: frozenset[str]) -> str:
    close = get_close_matches(name, known, 1)
    return f"{name}: unknown setting" + (f"; did you mean {close[0]}?" if close else "")


def _complaint(details: Any, given: Mapping[str, Any]) -> str:
    message = details["msg"].removeprefix("Value error, ")
    if not details["loc"]:
        return str(message)
    name = str(details["loc"][0])
    where = option(name) if name in given else variable(name)
    # A URL may contain a password, even in a setting that should have none.
    found = "" if name in SECRETS else ", not " + re.sub(r"//[^/@]*@", "//[secret]@", repr(details["input"]))
    return f"{where}: {message[0].lower()}{message[1:]}{found}"
