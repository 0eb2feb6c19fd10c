"""The command `fanin keys`."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydantic import ByteSize, TypeAdapter, ValidationError

from fanin.terminal import table
from fanin_service.access import keys
from fanin_service.access.keys import KeyFileError, KeyRecord, UnknownKeyError
from fanin_service.access.scopes import Right, check_scope

HELP = "Create, list and revoke API keys. A server with --access keys notices within a second or two."
_WRONG_USAGE = 2
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}
_CLIENT = (Right.WEIGHTS_READ, Right.RECIPES_READ, Right.RECIPES_WRITE, Right.MODELS_READ)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    create = commands.add_parser("create", help="create a key and print it, once")
    create.add_argument("--name", required=True, help="name of the owner: letters, digits and ._@-")
    create.add_argument(
        "--scope",
        nargs="+",
        type=_scope,
        default=list(_CLIENT),
        metavar="SCOPE",
        help=f"scopes, of {', '.join(Right)}, models:write:NAMESPACE/* and artifacts:write:ALIAS"
        f" (by default {' '.join(_CLIENT)}: enough to fetch)",
    )
    create.add_argument(
        "--expires", type=_expiry, default="90d", metavar="TIME", help="such as 12h, 90d or never (%(default)s)"
    )
    create.add_argument("--bytes-per-day", type=_bytes, metavar="SIZE", help="such as 1TB; without it, no limit")
    create.set_defaults(act=_create)

    show = commands.add_parser("list", help="list what is stored about every key")
    show.add_argument("--json", action="store_true", help="machine-readable")
    show.set_defaults(act=_list)

    revoke = commands.add_parser("revoke", help="make a key invalid")
    revoke.add_argument("key", help="id of a key, or a name for all keys of that name")
    revoke.set_defaults(act=_revoke)

    for command in (create, show, revoke):
        command.add_argument(
            "--keys-file",
            type=Path,
            default=os.environ.get("FANIN_KEYS_FILE") or None,
            metavar="FILE",
            help="file of the keys (FANIN_KEYS_FILE)",
        )


def run(options: argparse.Namespace) -> int:
    """Run one of the commands."""
    if options.keys_file is None:
        return _refuse("no key file: give --keys-file FILE or set FANIN_KEYS_FILE")
    try:
        options.act(options)
    except ValidationError as error:
        first = error.errors()[0]
        return _refuse(f"--{first['loc'][0]}: {first['msg']}, not {first['input']!r}")
    except (KeyFileError, UnknownKeyError) as error:
        return _refuse(str(error))
    return 0


def _create(options: argparse.Namespace) -> None:
    scopes = tuple(dict.fromkeys(options.scope))
    expires = None if options.expires is None else datetime.now(UTC).replace(microsecond=0) + options.expires
    key, record = keys.create(
        options.keys_file, options.name, scopes, expires=expires, bytes_per_day=options.bytes_per_day
    )
    # Only the key goes to standard output, so that a script can capture it.
    sys.stdout.write(key + "\n")
    until = "never expires" if expires is None else f"expires {expires:%Y-%m-%d %H:%M} UTC"
    sys.stderr.write(
        f"Key {record.id} of {record.name} allows {' '.join(scopes)} and {until}. It is not shown again.\n"
    )


def _list(options: argparse.Namespace) -> None:
    now = datetime.now(UTC)
    records = keys.read(options.keys_file)
    if options.json:
        told = [{**each.model_dump(mode="json", exclude={"sha256"}), "state": each.state(now)} for each in records]
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return
    head = ("id", "name", "state", "created", "expires", "bytes/day", "scopes")
    sys.stdout.write("\n".join(table(head, [_row(each, now) for each in records])) + "\n")


def _row(record: KeyRecord, now: datetime) -> tuple[str, ...]:
    return (
        record.id,
        record.name,
        record.state(now),
        f"{record.created:%Y-%m-%d}",
        f"{record.expires:%Y-%m-%d}" if record.expires else "never",
        ByteSize(record.bytes_per_day).human_readable(decimal=True) if record.bytes_per_day is not None else "any",
        " ".join(record.scopes),
    )


def _revoke(options: argparse.Namespace) -> None:
    for record in keys.revoke(options.keys_file, options.key):
        sys.stdout.write(f"Key {record.id} of {record.name} is revoked.\n")


def _scope(text: str) -> str:
    try:
        return check_scope(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _expiry(text: str) -> timedelta | None:
    if text == "never":
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,4})([mhd])", text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: give a number with m, h or d, such as 90d, or never")
    return int(found[1]) * _UNITS[found[2]]


def _bytes(text: str) -> int:
    try:
        return TypeAdapter(ByteSize).validate_python(text)
    except ValidationError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a size: give a number, such as 1TB") from None


def _refuse(reason: str) -> int:
    sys.stderr.write(f"fanin keys: {reason}\n")
    return _WRONG_USAGE
