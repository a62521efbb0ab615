"""Giving a ticket: load the books, read the network at the same block, decide, issue with its reservation, sign.

The Safe's nonce is read at the very block the books stand at, so any owner transaction that the decision did not know voids the
ticket on chain. If the network is ahead of the books, or the client's reservations moved, it is all done again.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aggregator.api import chainside, reading
from aggregator.api import schemas as sc
from aggregator.api.problems import Problem
from aggregator.api.schemas import Output
from aggregator.api.services import Services
from aggregator.api.standing import standing_of
from aggregator.api.values import AtomsString
from aggregator.ledger.transfers import Group, Origin, Transfer
from aggregator.margin.report import MarginReport
from aggregator.plan.ticketed import BalanceInsufficient, CallUnknown
from aggregator.plan.tickets import LIFETIME_S, Standing, Verdict
from aggregator.store import tickets as store
from aggregator.store.tickets import BooksMoved, Ticket
from chains.signer import LocalSigner
from chains.types import Address, BlockRef

if TYPE_CHECKING:
    from chains.contracts.typed import TradeTerms, WithdrawalTerms

TRIES, PAUSE_S = 12, 0.25


class SignatureBody(Output):
    """One ticket key's signature, 65 bytes r, s, v."""

    signer: str
    signature: str


class CallBody(Output):
    """A call as an EVM network takes it."""

    to: str
    value_wei: AtomsString
    data: str


class TicketBody(Output):
    """A ticket. `call` is what the Safe's owners sign as their transaction number `nonce`, without gas refund, operation 0."""

    ticket_id: str
    account: str
    kind: str
    chain_id: int
    safe: str
    nonce: int
    expiry: int
    as_of_timestamp: int
    basis: str
    terms: dict[str, str]
    signatures: list[SignatureBody]
    call: CallBody
    before: sc.ThreeNumbers
    after: sc.ThreeNumbers


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked: `decide` is the pure decision (standing, ticket id) -> Verdict; `fields` the terms of its own; `pin` the
    recipient's word that the rule book must hold, or None."""

    account: str
    chain_id: int
    kind: str
    decide: Callable[[Standing, str], Verdict]
    fields: Mapping[str, str]
    pin: bytes | None


async def give(services: Services, wanted: Wanted, key: str, actor: str) -> TicketBody:
    """The ticket, or Problem with the broken rule. Asked again with the same key it gives the same ticket."""
    chainside.network_of(services, wanted.chain_id)
    known = await services.read(store.by_key, services.store, wanted.account, key)
    if known is not None:
        return await _signed(services, known)
    if not services.settings.ticketer_keys:
        raise Problem("unavailable", "this process holds no ticket keys; set ISTHMUS_TICKETER_KEYS")
    for _ in range(TRIES):
        try:
            return await _signed(services, await _issued(services, wanted, key, actor))
        except BooksMoved as moved:
            reason = str(moved)
            await asyncio.sleep(PAUSE_S)
    raise Problem("unavailable", f"{reason}; try again", retryable=True)


async def _issued(services: Services, wanted: Wanted, key: str, actor: str) -> Ticket:
    standing = await standing_of(services, wanted.account)
    safe = dict(standing.safes).get(wanted.chain_id)
    if safe is None:
        raise Problem("request-invalid", f"account {wanted.account} has no Safe on network {wanted.chain_id}; link one first")
    block = next((b for c, b in standing.as_of.cut.blocks.items() if c == wanted.chain_id), None)
    if block is None:
        raise Problem("unavailable", f"network {wanted.chain_id} is not followed, so nothing can be decided on it", retryable=True)
    nonce = await _nonce(services, wanted, Address(safe), block)
    ticket_id = "0x" + hashlib.sha256(f"ticket|{services.store.deployment}|{wanted.account}|{key}".encode()).hexdigest()
    verdict = await _decided(services, wanted, standing, ticket_id, actor)
    own = chainside.network_of(services, wanted.chain_id)[1]
    expiry = block.timestamp + LIFETIME_S
    terms = {"deployment": own.deployment, "safe": safe, **wanted.fields, "nonce": str(nonce), "expiry": str(expiry),
             "as_of": str(block.timestamp), "basis": "0x" + standing.as_of.key()}  # fmt: skip
    ticket = Ticket(ticket_id, wanted.account, wanted.chain_id, safe, wanted.kind, terms, nonce, expiry,
                    _as_of(standing, verdict), "", key, actor, "open")  # fmt: skip
    counted = frozenset(group.key for group in standing.reserved)
    await services.read(store.issue, services.store, ticket, _reservation(ticket, verdict.transfers), counted)
    return ticket


async def _nonce(services: Services, wanted: Wanted, safe: Address, block: BlockRef) -> int:
    """The Safe's next nonce, after everything a ticket rests on was found in place. Raises BooksMoved when the head is ahead."""
    facts, ahead = await chainside.ticket_facts(services, wanted.chain_id, safe, wanted.pin or bytes(32), block)
    if not facts.custody.intact:
        raise Problem("custody-not-intact", facts.custody.reason)
    if wanted.pin is not None and not facts.pinned:
        raise Problem("recipient-not-pinned", f"{wanted.fields.get('recipient')} is no recipient of {safe}; the owners may ask for "
                      "it with RuleBook.requestPin, it counts after two days")  # fmt: skip
    if ahead != facts.custody.nonce:
        raise BooksMoved(f"network {wanted.chain_id} is ahead of the books: the Safe's nonce is {ahead}")
    return facts.custody.nonce


async def _decided(services: Services, wanted: Wanted, standing: Standing, ticket_id: str, actor: str) -> Verdict:
    try:
        verdict = await services.read(wanted.decide, standing, ticket_id)
    except CallUnknown as error:
        raise Problem("call-unknown", str(error)) from error
    except BalanceInsufficient as error:
        raise Problem("balance-insufficient", str(error)) from error
    if not verdict.granted:
        await services.read(store.refused, services.store, wanted.account, wanted.chain_id, verdict.code, verdict.why, actor)
        after = _numbers(verdict.after) if verdict.after is not None else None
        raise Problem(verdict.code, verdict.why, more={"before": _numbers(verdict.before), "after": after})
    return verdict


def _numbers(report: MarginReport) -> dict[str, Any]:
    return reading.numbers(report.risk).model_dump(mode="json")


def _as_of(standing: Standing, verdict: Verdict) -> dict[str, Any]:
    after = verdict.after or verdict.before
    return {"cut": standing.as_of.cut.key(), "market_id": standing.as_of.market_id, "parameters_id": standing.as_of.parameters_id,
            "before": _numbers(verdict.before), "after": _numbers(after)}  # fmt: skip


def _reservation(ticket: Ticket, transfers: tuple[Transfer, ...]) -> Group:
    return Group(f"ticket:{ticket.ticket_id}", Origin.TICKET, ticket.chain_id, -1, "", "", 0, transfers, ticket.expiry)


def terms_of(ticket: Ticket) -> WithdrawalTerms | TradeTerms:
    """The EIP-712 message of a stored ticket."""
    from chains.contracts.typed import TradeTerms, WithdrawalTerms  # a codec that costs half a second: only when signing

    t = ticket.terms
    nonce, expiry, as_of = int(t["nonce"]), int(t["expiry"]), int(t["as_of"])
    if ticket.kind == "trade":
        return TradeTerms(t["deployment"], Address(t["safe"]), Address(t["to"]), int(t["value"]), bytes.fromhex(t["data"][2:]),
                          nonce, expiry, as_of, t["basis"])  # fmt: skip
    return WithdrawalTerms(t["deployment"], Address(t["safe"]), Address(t["token"]), int(t["amount"]), Address(t["recipient"]),
                           nonce, expiry, as_of, t["basis"])  # fmt: skip


async def _signed(services: Services, ticket: Ticket) -> TicketBody:
    """Signs with as many ticket keys as the module asks for, keeps the signatures, and gives the whole."""
    from chains.contracts.typed import TradeTerms, digest, encode_trade, encode_withdraw, join

    network, own, _ = chainside.network_of(services, ticket.chain_id)
    terms = await asyncio.to_thread(terms_of, ticket)
    trade = isinstance(terms, TradeTerms)
    signed = digest("Trade" if trade else "Withdrawal", terms, network.chain_id, own.module)
    signatures = {s.address: s.sign_digest(signed) for s in await _signers(services, ticket.chain_id)}
    if not ticket.signatures:
        await services.read(store.signed, services.store, ticket.ticket_id, "0x" + join(signatures).hex())
    data = encode_trade(terms, signatures) if isinstance(terms, TradeTerms) else encode_withdraw(terms, signatures)
    return TicketBody(
        ticket_id=ticket.ticket_id, account=ticket.client, kind=ticket.kind, chain_id=ticket.chain_id, safe=ticket.safe,
        nonce=ticket.nonce, expiry=ticket.expiry, as_of_timestamp=int(ticket.terms["as_of"]), basis=ticket.terms["basis"],
        terms={k: str(v) for k, v in ticket.terms.items()},
        signatures=[SignatureBody(signer=a, signature="0x" + signatures[a].hex()) for a in sorted(signatures)],
        call=CallBody(to=own.module, value_wei=0, data="0x" + data.hex()),
        before=_three(ticket.as_of["before"]), after=_three(ticket.as_of["after"]),
    )  # fmt: skip


def _three(stored: Mapping[str, Any]) -> sc.ThreeNumbers:
    return sc.ThreeNumbers.model_validate(dict(stored))


async def _signers(services: Services, chain_id: int) -> list[LocalSigner]:
    """The signers of this process that the module knows, exactly as many as it asks for. Raises Problem `unavailable`."""
    local = sorted((LocalSigner(k) for k in services.settings.ticketer_keys), key=lambda s: int(s.address, 16))
    known, need = await chainside.ticket_keys(services, chain_id, [s.address for s in local])
    chosen = [s for s in local if s.address in known][:need]
    if not need or len(chosen) < need:
        raise Problem("unavailable", f"network {chain_id} asks for {need} ticket signatures, this process can give {len(chosen)}; "
                      "set ISTHMUS_TICKETER_KEYS")  # fmt: skip
    return chosen

