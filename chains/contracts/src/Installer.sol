// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ISafe} from "./Safe.sol";

/// Runs once inside Safe.setup by delegatecall. Stateless.
contract Installer {
    function install(address module, address guard, address fence) external {
        ISafe(address(this)).enableModule(module);
        ISafe(address(this)).setGuard(guard);
        if (fence != address(0)) ISafe(address(this)).setModuleGuard(fence);
    }
}
