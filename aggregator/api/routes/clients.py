"""Clients: opened by the desk, linked to Safes whose custody is read first, bound by a signed mandate, suspended, exiting."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from aggregator.api import auth, chainside
from aggregator.api.operation import Call, Input, Nothing, Operation, Scope
from aggregator.api.problems import Problem
from aggregator.api.schemas import Output, SafeBody
from aggregator.api.services import Services
from aggregator.api.values import AddressText, CallData, ChainIdNumber, ClientName
from aggregator.plan import consent
from aggregator.plan.mandate import Mandate
from aggregator.store import clients as store
from aggregator.store.clients import Client
from chains.signer import recover
from chains.types import Address

Word = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,40}$")]


class ClientPath(Input):
    """One client."""

    client: ClientName


class NewClient(Input):
    """A client to open."""

    client: ClientName
    title: str = Field(min_length=1, max_length=120, pattern=r"^[^\x00-\x1f]+$", examples=["Palisade Quant"])


class NewSafe(Input):
    """A prime account to link."""

    chain_id: ChainIdNumber
    address: AddressText


class MandateTerms(Input):
    """What the client allows the planner. Nothing is allowed by silence."""

    networks: list[ChainIdNumber] = Field(max_length=64)
    venues: list[Word] = Field(max_length=64, examples=[["aave_v3", "uniswap_v3"]])
    bridges: list[Word] = Field(max_length=64, examples=[["hyperlane"]])
    max_cost_bps: int = Field(ge=0, le=10_000, strict=True, description="Of the value that is moved")
    may_move_collateral: bool = Field(strict=True)


class SignedMandate(Input):
    """A mandate and the EIP-712 signature of an owner of one of the client's Safes over it."""

    version: int = Field(ge=1, le=2**31 - 1, strict=True, description="One more than the stored version")
    mandate: MandateTerms
    signature: CallData = Field(description="65 bytes r, s, v")


class Reason(Input):
    """Why."""

    reason: str = Field(min_length=1, max_length=400, pattern=r"^[^\x00-\x08\x0b-\x1f]+$")


class SafeLink(Output):
    """A linked Safe."""

    chain_id: int
    address: str


class ClientBody(Output):
    """A client as it stands."""

    client: str
    title: str
    state: str
    mandate: dict[str, Any]
    mandate_version: int
    safes: list[SafeLink]


def body(client: Client) -> ClientBody:
    """The client as the API gives it."""
    return ClientBody(client=client.client, title=client.title, state=client.state, mandate=dict(client.mandate),
                      mandate_version=client.mandate_version,
                      safes=[SafeLink(chain_id=c, address=a) for c, a in client.safes])  # fmt: skip


async def open_client(call: Call[Nothing, Nothing, NewClient]) -> ClientBody:
    """A new client without Safes and without a mandate."""
    _desk(call)
    services = call.services
    return body(await services.read(
        store.open_client, services.store, services.settings.tenant, call.body.client, call.body.title, call.actor))  # fmt: skip


async def get_client(call: Call[ClientPath, Nothing, Nothing]) -> ClientBody:
    """State, mandate and Safes."""
    return body(await call.services.read(store.get, call.services.store, call.path.client))


async def link_safe(call: Call[ClientPath, Nothing, NewSafe]) -> SafeBody:
    """Links a Safe after reading its custody at the network's head."""
    services, new = call.services, call.body
    await services.read(store.get, services.store, call.path.client)
    found, _ = await chainside.custody_of(services, new.chain_id, Address(new.address))
    if not found.intact:
        raise Problem("custody-not-intact", f"{found.reason}; only an account born by this deployment's factory can be linked")
    await services.read(
        store.link_safe, services.store, call.path.client, new.chain_id, new.address, (found.intact, found.reason), call.actor)
    return SafeBody(chain_id=new.chain_id, address=new.address, custody_intact=found.intact, custody_reason=found.reason)


async def set_mandate(call: Call[ClientPath, Nothing, SignedMandate]) -> ClientBody:
    """Stores a mandate that an owner signed."""
    services, sent = call.services, call.body
    client = await services.read(store.get, services.store, call.path.client)
    mandate = _mandate(sent.mandate)
    if unknown := sorted(set(mandate.networks) - {int(c) for c in services.networks}):
        raise Problem("request-invalid", f"body.mandate.networks holds {unknown[0]}, which is not served here")
    digest = consent.digest(services.store.deployment, client.client, sent.version, mandate)
    try:
        signer = recover(digest, bytes.fromhex(sent.signature[2:]))
    except ValueError as error:
        raise Problem("signature-invalid", f"body.signature: {error}") from error
    if signer not in await _owners(services, client):
        raise Problem("signature-invalid", f"body.signature is by {signer}, who owns none of the client's Safes, or is over other "
                      f"terms; sign the EIP-712 type {consent.NAME!r} with version {sent.version}")  # fmt: skip
    terms = sent.mandate.model_dump(mode="json")
    await services.read(store.set_mandate, services.store, client.client, terms, sent.version, sent.signature, call.actor)
    return body(await services.read(store.get, services.store, client.client))


async def _owners(services: Services, client: Client) -> set[Address]:
    if not client.safes:
        raise Problem("conflict", f"client {client.client} has no Safe yet, so nobody can sign for it; link one first")
    found: set[Address] = set()
    for chain_id, address in client.safes:
        found |= set((await chainside.custody_of(services, chain_id, Address(address)))[0].owners)
    return found


def _mandate(terms: MandateTerms) -> Mandate:
    for name in ("networks", "venues", "bridges"):
        values = getattr(terms, name)
        if len(set(values)) != len(values):
            raise Problem("request-invalid", f"body.mandate.{name} names an entry twice; name each once")
    return Mandate(tuple(sorted(terms.networks)), tuple(sorted(terms.venues)), tuple(sorted(terms.bridges)), terms.max_cost_bps,
                   terms.may_move_collateral)  # fmt: skip


async def suspend(call: Call[ClientPath, Nothing, Reason]) -> ClientBody:
    """No tickets and no credit until resumed; close-out and top-ups go on."""
    _desk(call)
    return await _turned(call, store.SUSPENDED)


async def resume(call: Call[ClientPath, Nothing, Reason]) -> ClientBody:
    """Ends a suspension."""
    _desk(call)
    return await _turned(call, store.OPEN)


async def leave(call: Call[ClientPath, Nothing, Reason]) -> ClientBody:
    """Records that the client means to leave: no new tickets or credit. The exit itself is the owners' call on chain."""
    return await _turned(call, store.EXITING)


async def _turned(call: Call[ClientPath, Nothing, Reason], state: str) -> ClientBody:
    services = call.services
    await services.read(store.turn, services.store, call.path.client, state, call.body.reason, call.actor)
    return body(await services.read(store.get, services.store, call.path.client))


def _desk(call: Call[Any, Any, Any]) -> None:
    if call.key is not None:
        auth.desk_only(call.key)


TAGS, ADMIN, ONE = ("clients",), Scope.ADMIN, ClientPath
OPERATIONS = (
    Operation("POST", "/v1/clients", "openClient", "Open a client", open_client, ClientBody, ADMIN, 201, body_model=NewClient,
              problems=("conflict",), tags=TAGS),
    Operation("GET", "/v1/clients/{client}", "getClient", "State, mandate and Safes", get_client, ClientBody, path_model=ONE,
              tags=TAGS),
    Operation("POST", "/v1/clients/{client}/safes", "linkSafe", "Link a prime account after reading its custody", link_safe,
              SafeBody, ADMIN, 201, ONE, body_model=NewSafe, problems=("conflict", "custody-not-intact"), tags=TAGS),
    Operation("POST", "/v1/clients/{client}/mandate", "setMandate", "Store a mandate that an owner signed", set_mandate, ClientBody,
              ADMIN, path_model=ONE, body_model=SignedMandate, problems=("conflict", "signature-invalid"), tags=TAGS),
    Operation("POST", "/v1/clients/{client}/suspend", "suspendClient", "Stop tickets and credit", suspend, ClientBody, ADMIN,
              path_model=ONE, body_model=Reason, problems=("conflict",), tags=TAGS),
    Operation("POST", "/v1/clients/{client}/resume", "resumeClient", "End a suspension", resume, ClientBody, ADMIN,
              path_model=ONE, body_model=Reason, problems=("conflict",), tags=TAGS),
    Operation("POST", "/v1/clients/{client}/exit", "exitClient", "Record that the client means to leave", leave, ClientBody, ADMIN,
              path_model=ONE, body_model=Reason, problems=("conflict",), tags=TAGS),
)  # fmt: skip
