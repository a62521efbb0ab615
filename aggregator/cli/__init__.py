"""The command line: one file per command group; heavy imports happen inside the commands, so that --help answers at once."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from aggregator.cli.parser import build
from aggregator.errors import Broken, IsthmusError, Rejected, Retryable

EXIT_REJECTED, EXIT_BROKEN, EXIT_RETRY = 2, 3, 4


def main(argv: Sequence[str] | None = None) -> int:
    """Parse and run one command. Returns the exit code: 0 well, 1 the command's own 'no', 2 input, 3 broken, 4 try again."""
    parser = build()
    arguments, rest = parser.parse_known_args(argv)
    if rest and not getattr(arguments, "passes_rest", False):
        parser.error(f"unknown argument {rest[0]}; see isthmus {arguments.command or ''} --help".replace("  ", " "))
    if not arguments.command:
        parser.print_help()
        return 0
    arguments.rest = rest
    module = importlib.import_module(arguments.module)
    try:
        return int(getattr(module, arguments.function)(arguments))
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    except IsthmusError as error:
        print(f"{_words(error)}: {error}", file=sys.stderr)
        return EXIT_REJECTED if isinstance(error, Rejected) else EXIT_RETRY if isinstance(error, Retryable) else EXIT_BROKEN


def _words(error: IsthmusError) -> str:
    kind = "broken" if isinstance(error, Broken) else "not possible now" if isinstance(error, Retryable) else "refused"
    return f"{kind} ({type(error).__name__})"
