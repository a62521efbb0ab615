// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Answers token callbacks and nothing else. No ERC-1271: an off-chain signature of the owners has no force, because no guard
/// sees it. It must hold no rights anywhere: the Safe calls it, with the Safe as sender, on behalf of any stranger.
contract PrimeHandler {
    function onERC721Received(address, address, uint256, bytes calldata) external pure returns (bytes4) {
        return 0x150b7a02;
    }

    function onERC1155Received(address, address, uint256, uint256, bytes calldata) external pure returns (bytes4) {
        return 0xf23a6e61;
    }

    function onERC1155BatchReceived(address, address, uint256[] calldata, uint256[] calldata, bytes calldata)
        external
        pure
        returns (bytes4)
    {
        return 0xbc197c81;
    }

    function supportsInterface(bytes4 id) external pure returns (bool) {
        return id == 0x01ffc9a7 || id == 0x150b7a02 || id == 0x4e2312e0;
    }

    function isValidSignature(bytes32, bytes calldata) external pure returns (bytes4) {
        return 0xffffffff;
    }
}
