// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// At most `cap` at once, and `cap` more over each window: never more than twice the cap within any one window.
/// Whoever stores a cap keeps it below 2^128, so that the product with a time cannot overflow.
library LeakyBucket {
    struct Bucket {
        uint192 used;
        uint64 time;
    }

    error OverCap(address token, uint256 used, uint256 cap);

    function fill(Bucket storage b, address token, uint256 amount, uint256 cap, uint256 window) internal {
        uint256 leaked = cap * (block.timestamp - b.time) / window;
        uint256 used = b.used > leaked ? b.used - leaked : 0;
        if (amount > cap || used + amount > cap) revert OverCap(token, used, cap);
        (b.used, b.time) = (uint192(used + amount), uint64(block.timestamp));
    }
}
