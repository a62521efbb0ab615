"""Tickets: the engine's consent to one withdrawal or one call. Every POST here moves value and needs an Idempotency-Key."""

from __future__ import annotations

from typing import Annotated

from aiohttp import web
from pydantic import Field, model_validator

from aggregator.api import chainside
from aggregator.api.once import once
from aggregator.api.operation import Call, Input, Nothing, Operation, Scope
from aggregator.api.problems import Problem
from aggregator.api.routes.accounts import AccountPath, one
from aggregator.api.ticketing import TicketBody, Wanted, give
from aggregator.api.values import AddressText, AtomsIn, CallData, ChainIdNumber, DecimalString
from aggregator.plan import tickets as rules
from aggregator.units import atoms_down, decimal_of
from chains import abi
from chains.networks.network import Network
from chains.types import ZERO_ADDRESS, Address
from chains.types import Call as NetworkCall

Amount = Annotated[DecimalString, Field(gt=0, description="Quantity in whole tokens; give this or atoms")]
Atoms = Annotated[AtomsIn, Field(gt=0, description="Quantity in the token's own units; give this or amount")]


class WithdrawalRequest(Input):
    """Pay a quantity of a token out of the account to one of its pinned recipients."""

    chain_id: ChainIdNumber
    token: AddressText = Field(description="Token contract; zero address: native coin")
    amount: Amount | None = None
    atoms: Atoms | None = None
    recipient: AddressText

    @model_validator(mode="after")
    def _one_quantity(self) -> WithdrawalRequest:
        if (self.amount is None) == (self.atoms is None):
            raise ValueError("give exactly one of amount and atoms")
        return self


class TradeRequest(Input):
    """One exact call by the account that raises risk or sends value to another network."""

    chain_id: ChainIdNumber
    to: AddressText
    value: AtomsIn = Field(0, description="Native coin sent along, wei", validate_default=False)
    data: CallData


async def withdrawal(call: Call[AccountPath, Nothing, WithdrawalRequest]) -> web.Response:
    """A withdrawal ticket."""
    asked = call.body
    network, _, _ = chainside.network_of(call.services, asked.chain_id)
    token, recipient = Address(asked.token), Address(asked.recipient)
    atoms = _atoms(network, asked)
    wanted = Wanted(
        call.path.account, asked.chain_id, "withdrawal",
        lambda standing, _: rules.for_withdrawal(standing, asked.chain_id, token, atoms),
        {"token": token, "amount": str(atoms), "recipient": recipient}, abi.padded(recipient),
    )  # fmt: skip
    return await _once(call, wanted)


async def trade(call: Call[AccountPath, Nothing, TradeRequest]) -> web.Response:
    """A trade ticket."""
    asked = call.body
    made = NetworkCall(Address(asked.to), bytes.fromhex(asked.data[2:]), asked.value)
    wanted = Wanted(
        call.path.account, asked.chain_id, "trade",
        lambda standing, ticket_id: rules.for_trade(standing, asked.chain_id, made, f"ticket:{ticket_id}"),
        {"to": asked.to, "value": str(asked.value), "data": asked.data}, None,
    )  # fmt: skip
    return await _once(call, wanted)


async def _once(
    call: Call[AccountPath, Nothing, WithdrawalRequest] | Call[AccountPath, Nothing, TradeRequest], wanted: Wanted
) -> web.Response:
    await one(call.services, wanted.account)

    async def run() -> TicketBody:
        return await give(call.services, wanted, call.idempotency_key, call.actor)

    return await once(call, wanted.account, run, 201)


def _atoms(network: Network, asked: WithdrawalRequest) -> int:
    if asked.atoms is not None:
        return asked.atoms
    found = network.token_at(Address(asked.token))
    if found is None and asked.token != ZERO_ADDRESS:
        raise Problem("request-invalid", f"body.token {asked.token} is not in the file of network {network.chain_id}; give atoms")
    decimals = found[1].decimals if found is not None else network.native.decimals
    amount = asked.amount or decimal_of(0, 0)
    atoms = atoms_down(amount, decimals)
    if decimal_of(atoms, decimals) != amount or not 0 < atoms < 2**256:
        raise Problem("request-invalid", f"body.amount {amount:f} is not a whole number of atoms; the token has {decimals} places")
    return atoms


TAGS = ("tickets",)
PROBLEMS = ("margin-insufficient", "venue-refuses", "client-not-open", "custody-not-intact", "recipient-not-pinned",
            "balance-insufficient", "call-unknown")  # fmt: skip
OPERATIONS = (
    Operation("POST", "/v1/accounts/{account}/tickets/withdrawal", "issueWithdrawalTicket", "Ticket for one withdrawal", withdrawal,
              TicketBody, Scope.TICKET, 201, AccountPath, body_model=WithdrawalRequest, problems=PROBLEMS, moves_value=True,
              tags=TAGS),
    Operation("POST", "/v1/accounts/{account}/tickets/trade", "issueTradeTicket", "Ticket for one call that raises risk", trade,
              TicketBody, Scope.TICKET, 201, AccountPath, body_model=TradeRequest, problems=PROBLEMS, moves_value=True, tags=TAGS),
)  # fmt: skip
