// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Math} from "@openzeppelin/contracts/utils/math/Math.sol";
import {Stewards} from "./Stewards.sol";

interface IAggregator {
    function decimals() external view returns (uint8);
    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80);
}

interface IDecimals {
    function decimals() external view returns (uint8);
}

/// USD prices from Chainlink proxies, each with the age at which it no longer counts. A price that is unknown, too old, not
/// positive, or whose feed reverts refuses the call that needs it.
abstract contract Feeds is Stewards {
    struct Feed {
        address aggregator;
        uint32 maxAge; // seconds
        uint8 scale; // decimals of the token plus decimals of the answer
    }

    mapping(address token => Feed) public feeds;

    event FeedSet(address indexed token, address aggregator, uint32 maxAge);

    error StalePrice(address token);

    /// A wrong feed makes a bad price look fair, so only the slow lock may set one; the guardian may take one away.
    function setFeed(address token, address aggregator, uint32 maxAge) external {
        if (msg.sender != plannerLock && (msg.sender != guardian || aggregator != address(0))) revert NotPermitted();
        uint8 scale = aggregator == address(0) ? 0 : IDecimals(token).decimals() + IAggregator(aggregator).decimals();
        feeds[token] = Feed(aggregator, maxAge, scale);
        emit FeedSet(token, aggregator, maxAge);
    }

    /// Value of `atoms` of `token` in USD with 18 decimals.
    function valueOf(address token, uint256 atoms, Math.Rounding rounding) public view returns (uint256) {
        Feed memory feed = feeds[token];
        if (feed.aggregator == address(0)) revert StalePrice(token);
        try IAggregator(feed.aggregator).latestRoundData() returns (uint80, int256 answer, uint256, uint256 time, uint80) {
            // 2^96 bounds the product below; no honest price comes near it
            if (answer <= 0 || answer > int256(uint256(type(uint96).max))) revert StalePrice(token);
            if (time > block.timestamp || block.timestamp - time > feed.maxAge) revert StalePrice(token);
            return Math.mulDiv(atoms * uint256(answer), 1e18, 10 ** feed.scale, rounding);
        } catch {
            revert StalePrice(token);
        }
    }
}
