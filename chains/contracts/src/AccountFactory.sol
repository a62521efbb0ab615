// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Installer} from "./Installer.sol";
import {RuleBook} from "./RuleBook.sol";
import {ISafe, ISafeProxyFactory} from "./Safe.sol";

/// Only accounts born here count as collateral. Inspecting a foreign Safe is not enough: its setup may have written a module that
/// the module list does not show, a signed message, or an approval.
contract AccountFactory {
    struct Parts {
        RuleBook book;
        address singleton;
        ISafeProxyFactory proxies;
        address installer;
        address module;
        address guard;
        address handler;
        address fence; // zero on Safe 1.4.1
    }

    RuleBook public immutable book;
    address public immutable singleton;
    ISafeProxyFactory public immutable proxies;
    address public immutable installer;
    address public immutable module;
    address public immutable guard;
    address public immutable handler;
    address public immutable fence;

    event AccountCreated(address indexed safe, address[] owners, uint256 threshold);

    error WrongAddress(address safe);

    constructor(Parts memory p) {
        (book, singleton, proxies, installer) = (p.book, p.singleton, p.proxies, p.installer);
        (module, guard, handler, fence) = (p.module, p.guard, p.handler, p.fence);
    }

    /// Recipients are part of the salt: an address that a client was shown cannot be created with somebody else's recipients.
    /// The address commits to the whole setup, so an account that a stranger deployed first is the same account and is only
    /// registered here.
    function create(address[] calldata owners, uint256 threshold, bytes32[] calldata pins, uint256 salt)
        external
        returns (address safe)
    {
        (bytes memory setup, uint256 nonce) = (_setup(owners, threshold), _nonce(pins, salt));
        safe = _address(setup, nonce);
        if (safe.code.length == 0) {
            address made = proxies.createProxyWithNonce(singleton, setup, nonce);
            if (made != safe) revert WrongAddress(made);
        }
        book.admit(safe, pins);
        emit AccountCreated(safe, owners, threshold);
    }

    /// Where `create` with the same arguments puts the account.
    function addressOf(address[] calldata owners, uint256 threshold, bytes32[] calldata pins, uint256 salt)
        external
        view
        returns (address)
    {
        return _address(_setup(owners, threshold), _nonce(pins, salt));
    }

    function isAccount(address safe) external view returns (bool) {
        return book.isAccount(safe);
    }

    function _setup(address[] calldata owners, uint256 threshold) private view returns (bytes memory) {
        bytes memory install = abi.encodeCall(Installer.install, (module, guard, fence));
        return abi.encodeCall(
            ISafe.setup, (owners, threshold, installer, install, handler, address(0), 0, payable(address(0)))
        );
    }

    function _nonce(bytes32[] calldata pins, uint256 salt) private pure returns (uint256) {
        return uint256(keccak256(abi.encode(pins, salt)));
    }

    function _address(bytes memory setup, uint256 nonce) private view returns (address) {
        bytes32 code = keccak256(abi.encodePacked(proxies.proxyCreationCode(), uint256(uint160(singleton))));
        bytes32 salt = keccak256(abi.encodePacked(keccak256(setup), nonce));
        return address(uint160(uint256(keccak256(abi.encodePacked(hex"ff", proxies, salt, code)))));
    }
}
