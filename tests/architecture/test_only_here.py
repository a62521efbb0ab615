"""Things that happen in one place only: environment, time, transactions, Celery, signing, sending, catch-all except."""

from __future__ import annotations

import ast
from collections.abc import Callable

import pytest

from tests.architecture import source

Finder = Callable[[ast.AST], bool]


def attribute(*names: str) -> Finder:
    """An attribute access like os.environ, written 'os.environ'."""
    return lambda node: isinstance(node, ast.Attribute) and ast.unparse(node) in names


def literal(*texts: str) -> Finder:
    return lambda node: isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in texts


def called(*names: str) -> Finder:
    return lambda node: isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in names


def imported(*names: str) -> Finder:
    def find(node: ast.AST) -> bool:
        if isinstance(node, ast.Import):
            return any(a.name.split(".")[0] in names for a in node.names)
        return isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in names

    return find


def of_store(*methods: str) -> Finder:
    """A transaction opened on a store: store.transaction(), self.store.snapshot()."""

    def find(node: ast.AST) -> bool:
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in methods):
            return False
        return ast.unparse(node.func.value).split(".")[-1] == "store"

    return find


LOCAL = ("aggregator/local/", "chains/devnet/")
RULES: list[tuple[str, Finder, tuple[str, ...]]] = [
    (
        "environment: settings",
        attribute("os.environ", "os.getenv"),
        ("aggregator/settings.py", "aggregator/bootstrap.py", "aggregator/__main__.py", *LOCAL),
    ),
    (
        "time: clock",
        attribute("time.time", "datetime.now", "datetime.utcnow", "datetime.datetime.now"),
        ("aggregator/clock.py", "aggregator/bootstrap.py", *LOCAL),
    ),
    ("Celery: tasks", imported("celery"), ("aggregator/tasks/",)),
    (
        "database: store",
        called("begin", "create_engine", "begin_nested"),
        ("aggregator/store/", "migrations/"),
    ),
    ("transactions of a store: store", of_store("transaction", "snapshot"), ("aggregator/store/",)),
    ("signing: signer", called("sign_msg_hash", "unsafe_sign_hash", "sign_recoverable"), ("chains/signer.py", *LOCAL)),
    ("sending: sender and rpc", literal("eth_sendRawTransaction"), ("chains/sender.py", "chains/rpc/", *LOCAL)),
]
BROAD = ("aggregator/daemons/", "aggregator/tasks/", "aggregator/api/problems.py", "aggregator/api/app.py")


def relative(path: source.Path) -> str:
    return path.relative_to(source.ROOT).as_posix()


@pytest.mark.parametrize(("rule", "finder", "allowed"), RULES, ids=[r[0] for r in RULES])
def test_only_here__rule__holds(rule: str, finder: Finder, allowed: tuple[str, ...]) -> None:
    found = [
        f"{relative(p)}:{getattr(n, 'lineno', 0)}"
        for p in source.files()
        if not relative(p).startswith(allowed)
        for n in ast.walk(source.tree(p))
        if finder(n)
    ]
    assert not found, f"{rule}: move {found}"


def raises_again(handler: ast.ExceptHandler) -> bool:
    """A handler that only cleans up and lets the error go on."""
    last = handler.body[-1]
    return isinstance(last, ast.Raise) and last.exc is None


def test_only_here__catch_all_except__daemon_and_task_boundary() -> None:
    found = []
    for path in source.files():
        for node in ast.walk(source.tree(path)):
            if isinstance(node, ast.ExceptHandler) and not relative(path).startswith(BROAD) and not raises_again(node):
                names = ast.unparse(node.type) if node.type else ""
                if not names or names.strip("()").split(", ")[0] in {"Exception", "BaseException"}:
                    found.append(f"{relative(path)}:{node.lineno}")
    assert not found, f"name the errors you mean: {found}"
