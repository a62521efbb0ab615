// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {IModuleGuard, ISafe} from "./Safe.sol";

/// Safe 1.5.0 only. A contract of its own, with no outside calls: were it the guard itself, a broken guard would also block the
/// module, and with it the way out. No module but ours, never by delegatecall; on the Safe itself only the removal of the guard.
contract ModuleFence is IModuleGuard {
    address public immutable module;

    error UnknownModule(address module);
    error FenceForbids();

    constructor(address module_) {
        module = module_;
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == type(IModuleGuard).interfaceId || id == 0x01ffc9a7;
    }

    function checkModuleTransaction(address to, uint256, bytes calldata data, uint8 operation, address caller)
        external
        view
        returns (bytes32)
    {
        if (caller != module) revert UnknownModule(caller);
        if (operation != 0) revert FenceForbids();
        if (to == msg.sender && keccak256(data) != keccak256(abi.encodeCall(ISafe.setGuard, (address(0))))) {
            revert FenceForbids();
        }
        return 0;
    }

    function checkAfterModuleExecution(bytes32, bool) external {}
}
