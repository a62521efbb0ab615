// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {METERED, OWNER} from "./Callers.sol";
import {LeakyBucket} from "./LeakyBucket.sol";
import {MarginModule} from "./MarginModule.sol";
import {RuleBook} from "./RuleBook.sol";
import {ISafe, ITransactionGuard} from "./Safe.sol";

/// Default deny for everything the owners sign. No admin, no upgrade: what it allows lives in the rule book, and no rule can
/// admit a call to the account itself. It admits no transfer at all: value leaves by MarginModule.withdraw.
contract MarginGuard is ITransactionGuard {
    using LeakyBucket for LeakyBucket.Bucket;

    uint256 private constant GUARD_SLOT = uint256(keccak256("guard_manager.guard.address"));
    uint256 private constant HANDLER_SLOT = uint256(keccak256("fallback_manager.handler.address"));
    uint256 private constant FENCE_SLOT = uint256(keccak256("module_manager.module_guard.address"));
    bytes4 private constant MULTI_SEND = 0x8d80ff0a; // multiSend(bytes)

    RuleBook public immutable book;
    MarginModule public immutable module;
    address public immutable batch; // the canonical MultiSendCallOnly, the one delegatecall target
    address public immutable handler;
    address public immutable fence; // module guard of a Safe 1.5.0, zero on 1.4.1
    mapping(address safe => mapping(address token => LeakyBucket.Bucket)) public turnover;

    error RefundForbidden();
    error DelegateCallForbidden();
    error MalformedBatch();
    error AccountTampered();
    error AccountRestricted();

    constructor(RuleBook book_, MarginModule module_, address batch_, address handler_, address fence_) {
        (book, module, batch, handler, fence) = (book_, module_, batch_, handler_, fence_);
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == type(ITransactionGuard).interfaceId || id == 0x01ffc9a7;
    }

    function checkTransaction(
        address to,
        uint256 value,
        bytes calldata data,
        uint8 operation,
        uint256 safeTxGas,
        uint256 baseGas,
        uint256 gasPrice,
        address gasToken,
        address payable refundReceiver,
        bytes calldata,
        address
    ) external {
        (bool exited, bool restricted) = module.standing(msg.sender);
        if (exited) return;
        // refunds pay anybody; and with safeTxGas set, a failed inner call would still burn the Safe's nonce
        if ((safeTxGas | baseGas | gasPrice) != 0 || gasToken != address(0) || refundReceiver != address(0)) {
            revert RefundForbidden();
        }
        if (operation == 0) {
            _call(restricted, to, value, data);
        } else {
            if (to != batch || value != 0) revert DelegateCallForbidden();
            _batch(restricted, data);
        }
    }

    /// Belt and braces: whatever ran, the account is still an account of ours.
    function checkAfterExecution(bytes32, bool) external view {
        if (module.isExited(msg.sender)) return;
        ISafe safe = ISafe(msg.sender);
        if (
            !safe.isModuleEnabled(address(module)) || _slot(safe, GUARD_SLOT) != address(this)
                || _slot(safe, HANDLER_SLOT) != handler || (fence != address(0) && _slot(safe, FENCE_SLOT) != fence)
        ) revert AccountTampered();
    }

    function _call(bool restricted, address to, uint256 value, bytes calldata data) private {
        if (value == 0 && _own(to, data)) return;
        if (restricted) revert AccountRestricted();
        (address token, uint256 amount, uint8 flags) = book.check(msg.sender, OWNER, to, value, data);
        // a fair price has a tolerance; without a limit on turnover an owner could lose it to itself again and again
        if (flags & METERED != 0) {
            turnover[msg.sender][token].fill(token, amount, book.turnoverCap(token), 1 days);
        }
    }

    /// The system's own functions for owners; each checks its caller.
    function _own(address to, bytes calldata data) private view returns (bool) {
        if (to == msg.sender) return data.length == 0; // the usual way to void a queued nonce
        if (data.length < 4) return false;
        bytes4 s = bytes4(data[:4]);
        if (to == address(module)) {
            return s == MarginModule.withdraw.selector || s == MarginModule.trade.selector
                || s == module.requestExit.selector || s == module.cancelExit.selector;
        }
        return to == address(book) && (s == RuleBook.requestPin.selector || s == RuleBook.unpin.selector);
    }

    /// multiSend(bytes): packed (operation 1, to 20, value 32, length 32, data). The encoding must be canonical; `to` may not be
    /// zero, because the 1.5.0 library reads zero as the Safe itself.
    function _batch(bool restricted, bytes calldata data) private {
        if (data.length < 68 || bytes4(data[:4]) != MULTI_SEND || uint256(bytes32(data[4:36])) != 32) {
            revert MalformedBatch();
        }
        uint256 length = uint256(bytes32(data[36:68]));
        if (length > data.length || data.length != 68 + (length + 31) / 32 * 32) revert MalformedBatch();
        bytes calldata list = data[68:68 + length];
        for (uint256 i; i < length;) {
            if (i + 85 > length || list[i] != 0) revert MalformedBatch();
            address to = address(bytes20(list[i + 1:i + 21]));
            uint256 size = uint256(bytes32(list[i + 53:i + 85]));
            if (to == address(0) || size > length - i - 85) revert MalformedBatch();
            _call(restricted, to, uint256(bytes32(list[i + 21:i + 53])), list[i + 85:i + 85 + size]);
            i += 85 + size;
        }
    }

    function _slot(ISafe safe, uint256 slot) private view returns (address) {
        return address(uint160(abi.decode(safe.getStorageAt(slot, 1), (uint256))));
    }
}
