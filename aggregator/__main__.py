"""Entry point of `python3 -m aggregator` and of the installed command `isthmus`.

Standard library alone, and written so that an old Python can still read far enough to say that it is too old.
"""

import sys


def main(argv=None):  # type: (list[str] | None) -> int
    """Runs one command and returns its exit code; from a bare checkout the environment is made first."""
    if sys.version_info < (3, 11):  # noqa: UP036  This line is what enforces the minimum.
        version = ".".join(map(str, sys.version_info[:2]))
        fix = "; run the command with Python 3.11 or newer\n"
        sys.stderr.write("isthmus: PythonTooOld: " + sys.executable + " is Python " + version + fix)
        return 1
    from aggregator import bootstrap

    return bootstrap.run(sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
