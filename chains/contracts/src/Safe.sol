// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// What is used of a Safe 1.4.1 or 1.5.0.
interface ISafe {
    function execTransactionFromModuleReturnData(address to, uint256 value, bytes calldata data, uint8 operation)
        external
        returns (bool, bytes memory);
    function nonce() external view returns (uint256);
    function checkSignatures(bytes32 hash, bytes calldata data, bytes calldata signatures) external view;
    function isModuleEnabled(address module) external view returns (bool);
    function getStorageAt(uint256 offset, uint256 length) external view returns (bytes memory);
    function setup(
        address[] calldata owners,
        uint256 threshold,
        address to,
        bytes calldata data,
        address fallbackHandler,
        address paymentToken,
        uint256 payment,
        address payable paymentReceiver
    ) external;
    function enableModule(address module) external;
    function setGuard(address guard) external;
    function setModuleGuard(address guard) external;
}

interface ISafeProxyFactory {
    function proxyCreationCode() external view returns (bytes memory);
    function createProxyWithNonce(address singleton, bytes calldata initializer, uint256 saltNonce)
        external
        returns (address);
}

/// Safe 1.3.0 and later.
interface ITransactionGuard {
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
        bytes calldata signatures,
        address msgSender
    ) external;
    function checkAfterExecution(bytes32 hash, bool success) external;
}

/// Safe 1.5.0.
interface IModuleGuard {
    function checkModuleTransaction(address to, uint256 value, bytes calldata data, uint8 operation, address module)
        external
        returns (bytes32);
    function checkAfterModuleExecution(bytes32 hash, bool success) external;
}
