"""API keys: `isk_<id>_<secret>`; only the SHA-256 of the secret is stored, and comparison takes the same time for every guess.

A key belongs to one client, or to the desk (client ''), which sees all clients of the deployment.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, insert, select, update

from aggregator.store.db import Store
from aggregator.store.tables import api_keys

PREFIX = "isk"


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One valid key. `client` '' is the desk."""

    key_id: str
    client: str
    scopes: frozenset[str]

    def sees(self, client: str) -> bool:
        """True when the key may know of that client."""
        return self.client in ("", client)


def digest(secret: str) -> str:
    """What is stored of a secret: it has 192 random bits, so that a plain hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create(store: Store, client: str, scopes: Iterable[str], expires_at: datetime | None = None) -> str:
    """A new key's text; it is shown this once and cannot be read again."""
    key_id, secret = secrets.token_hex(6), secrets.token_hex(24)
    with store.transaction() as connection:
        connection.execute(insert(api_keys).values(
            deployment=store.deployment, key_id=key_id, secret_digest=digest(secret), client=client,
            scopes=" ".join(sorted(scopes)), expires_at=expires_at))  # fmt: skip
    return f"{PREFIX}_{key_id}_{secret}"


def check(store: Store, token: str) -> ApiKey | None:
    """The key behind `token`, or None when it is malformed, unknown, wrong, expired or revoked."""
    parts = token.split("_")
    if len(parts) != 3 or parts[0] != PREFIX or len(token) > 200 or not token.isascii():
        return None
    with store.transaction() as connection:
        row = connection.execute(
            select(api_keys.c.secret_digest, api_keys.c.client, api_keys.c.scopes).where(
                api_keys.c.deployment == store.deployment, api_keys.c.key_id == parts[1], api_keys.c.revoked_at.is_(None),
                func.coalesce(api_keys.c.expires_at > func.now(), True))
        ).one_or_none()  # fmt: skip
    # an unknown id is compared too, so that the time of the answer does not tell which ids exist
    wanted = row.secret_digest if row else digest("")
    if not hmac.compare_digest(wanted, digest(parts[2])) or row is None:
        return None
    return ApiKey(parts[1], str(row.client), frozenset(str(row.scopes).split()))


def revoke(store: Store, key_id: str) -> None:
    """Ends a key at once; a key that is unknown or already revoked stays as it is."""
    with store.transaction() as connection:
        connection.execute(
            update(api_keys).values(revoked_at=func.now())
            .where(api_keys.c.deployment == store.deployment, api_keys.c.key_id == key_id, api_keys.c.revoked_at.is_(None))
        )  # fmt: skip
