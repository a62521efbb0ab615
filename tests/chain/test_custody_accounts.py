"""Doors that no guard sees: ERC-1271, hidden modules, foreign set-ups; and accounts owned by another Safe."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from eth_abi.abi import encode
from eth_hash.auto import keccak

from chains.contracts import artifacts, reasons, typed
from chains.devnet import lib
from chains.types import ZERO_ADDRESS, Address, address
from tests.chain.custody_calls import MAX, USDC, call_data, signatures, supply_data, who
from tests.chain.custody_world import World

pytestmark = pytest.mark.chain

ONE = ("owner-0",)
SETUP = "setup(address[],uint256,address,bytes,address,address,uint256,address)"


def shared(world: World, key: str) -> Address:
    return address(str(lib.deploy(world.w3, f"safe/{key}").address))


def plain_safe(world: World, owners: Iterable[Address], handler: Address, to: Address = ZERO_ADDRESS, data: bytes = b"",
               salt: int = 5) -> Address:
    """A Safe made by somebody else's set-up."""
    start = call_data(SETUP, list(owners), 1, to, data, handler, ZERO_ADDRESS, 0, ZERO_ADDRESS)
    parts = world.network.protocols.safe
    create = ("createProxyWithNonce(address,bytes,uint256)", parts.singleton, start, salt)
    made = world.read(parts.proxy_factory, *create, returns="address")
    world.send(parts.proxy_factory, call_data(*create))
    return address(made)


def install(world: World) -> bytes:
    return call_data("install(address,address,address)", world.own.module, world.own.guard, ZERO_ADDRESS)


def message_hash(world: World, safe: Address, digest: bytes) -> bytes:
    """What owners sign for an ERC-1271 signature of their Safe."""
    domain = keccak(encode(["bytes32", "uint256", "address"],
                           [keccak(b"EIP712Domain(uint256 chainId,address verifyingContract)"), world.network.chain_id, safe]))
    inner = keccak(encode(["bytes32", "bytes32"], [keccak(b"SafeMessage(bytes message)"), keccak(digest)]))
    return bytes(keccak(b"\x19\x01" + domain + inner))


def test_signed_transfer__usual_handler_leaks__own_handler_refuses(world: World) -> None:
    dollar, usual = world.deploy("SignedDollar"), shared(world, "CompatibilityFallbackHandler")
    leaky = plain_safe(world, [who(ONE[0])], usual, world.own.installer, install(world))
    prime = world.birth([who(ONE[0])], 1, [], 9)
    for safe, wanted in ((leaky, "PASSED"), (prime, "bad signature")):
        world.send(dollar, call_data("mint(address,uint256)", safe, USDC))
        terms = (safe, world.stranger, USDC, bytes(32))
        digest = world.read(dollar, "digest(address,address,uint256,bytes32)", *terms, returns="bytes32")
        signed = typed.join(signatures(message_hash(world, safe, digest), ONE))
        data = call_data("transferWithAuthorization(address,address,uint256,bytes32,bytes)", *terms, signed)
        assert world.reason(dollar, data) == wanted


def test_position_permit__usual_handler_leaks__own_handler_refuses(world: World) -> None:
    assert world.network.protocols.uniswap_v3
    manager = world.network.protocols.uniswap_v3.position_manager
    usual = shared(world, "CompatibilityFallbackHandler")
    leaky = plain_safe(world, [who(ONE[0])], usual, world.own.installer, install(world))
    prime = world.birth([who(ONE[0])], 1, [], 9)
    rich = world.accounts[6]
    for token in ("usdc", "weth"):
        world.mint(token, rich, 10**22 if token == "weth" else 10**14)
        world.send(world.token(token), call_data("approve(address,uint256)", manager, MAX), sender=rich)
    low, high = sorted((world.usdc, world.weth))
    for safe, wanted in ((leaky, "PASSED"), (prime, "Unauthorized")):
        mint = "mint((address,address,uint24,int24,int24,uint256,uint256,uint256,uint256,address,uint256))"
        world.send(manager, call_data(mint, (low, high, 3000, -887220, 887220, 10**12, 10**12, 0, 0, safe, 2**40)), sender=rich)
        token_id = world.read(manager, "tokenOfOwnerByIndex(address,uint256)", safe, 0)
        head = world.read(manager, "PERMIT_TYPEHASH()", returns="bytes32")
        struct = keccak(encode(["bytes32", "address", *["uint256"] * 3], [head, world.stranger, token_id, 0, 2**40]))
        digest = keccak(b"\x19\x01" + world.read(manager, "DOMAIN_SEPARATOR()", returns="bytes32") + struct)
        signed = typed.join(signatures(message_hash(world, safe, digest), ONE))
        data = call_data("permit(address,uint256,uint256,uint8,bytes32,bytes32)", world.stranger, token_id, 2**40, signed[64],
                         signed[:32], signed[32:64])
        assert world.reason(manager, data) == wanted


def test_handler__answers_every_signature_with_no(world: World) -> None:
    answer = world.read(world.safe, "isValidSignature(bytes32,bytes)", bytes(32), b"", returns="bytes4")
    assert answer == b"\xff" * 4
    assert world.read(world.safe, "isValidSignature(bytes32,bytes)", bytes(32), bytes(130), returns="bytes4") == b"\xff" * 4


def test_hidden_module__foreign_safe_looks_right_and_leaks__so_only_born_accounts_count(world: World) -> None:
    hidden, drainer = world.deploy("HiddenModule"), world.deploy("Drainer")
    plant = call_data("plant(address,address,bytes)", drainer, world.own.installer, install(world))
    foreign = plain_safe(world, [who(ONE[0])], world.own.handler, hidden, plant)
    world.mint("usdc", foreign, USDC)
    shown = world.read(foreign, "getModulesPaginated(address,uint256)", "0x" + "00" * 19 + "01", 10, returns="address[]")
    assert [address(module) for module in shown] == [world.own.module]
    drain = call_data("drain(address,address,uint256)", foreign, world.usdc, USDC)
    assert world.reason(drainer, drain) == "PASSED"
    assert not world.read(world.own.factory, "isAccount(address)", foreign, returns="bool")
    assert world.execute_reason(safe=foreign) == "NotAnAccount"
    assert world.read(world.own.factory, "isAccount(address)", world.safe, returns="bool")


def test_foreign_module__on_a_born_account__cannot_act(world: World) -> None:
    drainer = world.deploy("Drainer")
    assert world.reason(drainer, call_data("drain(address,address,uint256)", world.safe, world.usdc, 1)) == "GS104"


def test_changed_handler__every_transaction_refused(world: World) -> None:
    usual = shared(world, "CompatibilityFallbackHandler")
    tampered = plain_safe(world, [who(ONE[0])], usual, world.own.installer, install(world))
    request = call_data("requestPin(bytes32)", bytes(32))
    assert world.owner_reason(world.own.rule_book, request, safe=tampered, signers=ONE) == "AccountTampered"


@pytest.mark.parametrize("way", ["signature", "approval"])
def test_exit__owner_is_a_safe_and_the_guard_is_broken__can_still_ask(world: World, way: str) -> None:
    house = plain_safe(world, [who(ONE[0])], shared(world, "CompatibilityFallbackHandler"))
    prime = world.birth([house], 1, [], 12)
    world.rpc("anvil_setCode", world.own.guard, "0xfe")
    digest = world.read(world.own.module, "exitDigest(address)", prime, returns="bytes32")
    if way == "approval":
        world.send(house, world.exec_data(prime, call_data("approveHash(bytes32)", digest), safe=house, signers=ONE))
        signed = typed.local_pin(house) + bytes(32) + b"\1"
    else:
        inner = typed.join(signatures(nested_hash(world, house, prime), ONE))
        signed = typed.local_pin(house) + (65).to_bytes(32, "big") + b"\0" + len(inner).to_bytes(32, "big") + inner
    world.send(world.own.module, call_data("requestExitSigned(address,bytes)", prime, signed))
    world.warp(7 * 86_400)
    world.send(world.own.module, call_data("release(address)", prime))


def nested_hash(world: World, house: Address, prime: Address) -> bytes:
    """What the owners of an owning Safe sign for the exit of its prime account: the preimage as its message, from 1.5 the hash."""
    terms = typed.ExitTerms(world.own.deployment, prime, 0)
    domain = world.read(world.own.module, "domainSeparator()", returns="bytes32")
    preimage = b"\x19\x01" + domain + typed.struct_hash("Exit", terms)
    return message_hash(world, house, keccak(preimage) if world.network.protocols.safe.version >= "1.5" else preimage)


def test_fence__on_a_newer_safe__admits_only_the_module_and_the_removal_of_the_guard(world: World) -> None:
    made = artifacts.load("ModuleFence")
    sent = {"from": world.accounts[0], "data": made.bytecode + encode(["address"], [world.own.module]).hex(), "gas": hex(10**6)}
    fence = address(world.rpc("eth_sendTransactionSync", sent)["contractAddress"])
    no_guard = call_data("setGuard(address)", ZERO_ADDRESS)
    for to, data, operation, module, wanted in (
        (world.usdc, b"", 0, world.own.module, None), (world.safe, no_guard, 0, world.own.module, None),
        (world.usdc, b"", 0, world.stranger, "UnknownModule"), (world.usdc, b"", 1, world.own.module, "FenceForbids"),
        (world.safe, no_guard[:-1] + b"\1", 0, world.own.module, "FenceForbids"),
        (world.safe, b"", 0, world.own.module, "FenceForbids"),
    ):
        asked = call_data("checkModuleTransaction(address,uint256,bytes,uint8,address)", to, 0, data, operation, module)
        reverted = world.revert_data({"from": world.safe, "to": fence, "data": "0x" + asked.hex()})
        reason = reasons.of_data(reverted) if reverted else None
        assert (reason.name if reason else None) == wanted


def test_birth__stranger_deployed_first__is_the_same_account_and_is_registered(world: World) -> None:
    arguments = ([who(ONE[0])], 1, [typed.local_pin(world.cold)], 42)
    kinds = "(address[],uint256,bytes32[],uint256)"
    expected = address(world.read(world.own.factory, f"addressOf{kinds}", *arguments, returns="address"))
    parts = world.network.protocols.safe
    start = call_data(SETUP, arguments[0], 1, world.own.installer, install(world), world.own.handler, ZERO_ADDRESS, 0, ZERO_ADDRESS)
    salt = int.from_bytes(keccak(encode(["bytes32[]", "uint256"], [arguments[2], 42])), "big")
    world.send(parts.proxy_factory, call_data("createProxyWithNonce(address,bytes,uint256)", parts.singleton, start, salt))
    world.send(world.own.factory, call_data(f"create{kinds}", *arguments))
    assert world.read(world.own.factory, "isAccount(address)", expected, returns="bool")
    assert world.reason(world.own.factory, call_data(f"create{kinds}", *arguments)) == "NotPermitted"


def test_birth__other_recipients__other_address(world: World) -> None:
    found = {world.read(world.own.factory, "addressOf(address[],uint256,bytes32[],uint256)", [who(ONE[0])], 1, [pin], 1,
                        returns="address") for pin in (bytes(32), typed.local_pin(world.cold))}
    assert len(found) == 2


def test_owner_is_a_safe__trades_and_withdraws_but_cannot_move_value_out(world: World) -> None:
    house = plain_safe(world, [who(ONE[0])], shared(world, "CompatibilityFallbackHandler"))
    prime = world.birth([house], 1, [typed.local_pin(house)], 11)
    world.mint("usdc", prime, 1000 * USDC)

    def through(to: Address, data: bytes) -> bytes:
        approval = typed.local_pin(house) + bytes(32) + b"\1"  # the owning Safe approves by being the caller
        inner = typed.encode_exec_transaction(to, 0, data, 0, {house: approval})
        return world.exec_data(prime, inner, safe=house, signers=ONE)

    def supply(atoms: int) -> bytes:
        return supply_data(world, "usdc", atoms, prime)

    world.send(house, through(world.usdc, call_data("approve(address,uint256)", world.pool, MAX)))
    world.send(house, through(world.pool, supply(100 * USDC)))
    stolen = through(world.usdc, call_data("transfer(address,uint256)", house, 1))
    assert world.reason(house, stolen) == "NotListed"
    terms = world.withdrawal(safe=prime, amount=USDC, recipient=house)
    world.send(house, through(world.own.module, world.withdraw_data(terms)))
    assert world.balance(world.usdc, house) == USDC
