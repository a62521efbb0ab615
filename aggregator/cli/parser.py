"""The whole command line in one place. Standard library only: it must answer before anything is installed."""

from __future__ import annotations

import argparse

from aggregator.version import VERSION

EPILOG = "Every command that prints a table takes --json. Settings: isthmus config show. README.md tells the rest."


def build() -> argparse.ArgumentParser:
    """The parser; each command names the module and function that run it."""
    parser = argparse.ArgumentParser(
        prog="isthmus", description="One margin account across many EVM networks.", epilog=EPILOG, allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"isthmus {VERSION}")
    parser.add_argument("--no-bootstrap", action="store_true", help="do not make .venv; use this interpreter as it is")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    _demo(commands)
    _test(commands)
    _look(commands)
    _operate(commands)
    return parser


def _add(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], name: str, about: str, target: str, *, json: bool = True
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=about, description=about, allow_abbrev=False)
    module, _, function = target.partition(":")
    command.set_defaults(module=f"aggregator.cli.{module}", function=function)
    if json:
        command.add_argument("--json", action="store_true", help="print JSON for programs instead of a table")
    return command


def _demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = _add(commands, "demo", "Run the main job on local networks with real protocols.", "demo:run", json=False)
    demo.add_argument("--once", action="store_true", help="run the story, check it, exit 0 or 1; else everything stays up")
    demo.add_argument("--json", metavar="FILE", help="write the report as JSON")
    demo.add_argument("--seed", type=int, default=1, metavar="N", help="draws sizes, prices and order (default 1)")
    demo.add_argument(
        "--shock",
        type=float,
        default=0.25,
        metavar="F",
        help="final fall of ETH as a fraction, 0 to 0.25; 0 is a calm day, below 0.24 a mild one without faults (default 0.25)",
    )
    demo.add_argument("--without", choices=["planner"], help="leave a part out, to see what it is worth")
    demo.add_argument("--keep", action="store_true", help="keep database and logs after the end")
    demo.add_argument("--port", type=int, default=0, metavar="P", help="port of the page and API (default: a free one)")


def _test(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    test = _add(commands, "test", "ruff, mypy --strict, then all tests; further arguments go to pytest.", "checks:run", json=False)
    test.set_defaults(passes_rest=True)


def _look(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    doctor = _add(commands, "doctor", "Check services, networks, contracts and keys; one line each, with its fix.", "doctor:run")
    doctor.add_argument("--network", type=int, action="append", metavar="CHAIN_ID", help="only this network (repeatable)")
    config = _add(commands, "config", "Settings: values and where each came from, secrets masked.", "config:run")
    config.add_argument("what", choices=["show"], help="show")
    portfolio = _add(commands, "portfolio", "What an account holds and owes, with block and state of each line.", "show:portfolio")
    portfolio.add_argument("account")
    margin = _add(commands, "margin", "The three numbers of every account, or one account in full.", "show:margin")
    margin.add_argument("account", nargs="?")
    explain = _add(commands, "explain", "Why a figure is what it is, line by line.", "show:explain")
    explain.add_argument("account")
    explain.add_argument("figure", nargs="?", help="a figure's name; without it the names are listed")
    actions = _add(commands, "actions", "What was decided and done: actions, slots, hashes, reasons.", "show:actions")
    actions.add_argument("account", nargs="?")
    verify = _add(commands, "verify", "Recompute stored margin reports from their inputs and compare bit for bit.", "show:verify")
    verify.add_argument("report", nargs="?", type=int, help="a report's number; without it the newest of each account")


def _operate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    reconcile = _add(
        commands, "reconcile", "Compare every holding with its network at a finalised block; exit 1 on drift.", "reconcile:run"
    )
    reconcile.add_argument("--network", type=int, action="append", metavar="CHAIN_ID", help="only this network (repeatable)")
    run = _add(commands, "run", "Run one daemon of the distributed deployment in the foreground.", "run:run", json=False)
    run.add_argument("daemon", choices=["index", "assess", "api", "worker"])
    run.add_argument("--queues", metavar="Q,Q", help="worker only: Celery queues to serve (default: all)")
    run.add_argument("--networks", metavar="ID,ID", help="index only: follow these networks (default: all configured)")
    resume = _add(commands, "resume", "Let a stopped network go on from where its journal stands.", "run:resume", json=False)
    resume.add_argument("network", type=int, metavar="CHAIN_ID")
    _add(commands, "migrate", "Bring the database schema to this version.", "run:migrate", json=False)
    keys = _add(commands, "key", "Make an API key; the secret is shown once.", "keys:create")
    keys.add_argument("--account", default="", help="the account the key may see; empty: the desk, all accounts")
    keys.add_argument("--scopes", default="read", help="comma separated: read, simulate, ticket, admin (default read)")
