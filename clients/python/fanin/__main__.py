"""`python -m fanin`, and the program `fanin`."""

from __future__ import annotations

import sys

from fanin import signals


def main() -> int:
    """Run the command line; returns its exit code, 130 when a user interrupts it.

    An interrupt waits while modules are imported, since it would leave some of them half initialized. Once the command
    has ended, its exit code stands.
    """
    signals.block_interrupts()
    signals.keep_interrupts()
    from fanin.cli import main as command_line

    try:
        signals.allow_interrupts()
        return command_line.main()
    except KeyboardInterrupt:
        sys.stderr.write("fanin: interrupted\n")
        return 130
    finally:
        signals.block_interrupts()


if __name__ == "__main__":
    sys.exit(main())
