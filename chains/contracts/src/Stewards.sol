// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

/// Who may change what, for the rule book, the module and the credit line alike.
/// ownerLock: a timelock of 2 days, loosens what owners may do (the broker's own risk).
/// plannerLock: a timelock of 9 days, longer than an undisputed exit: whoever dislikes what the planner may do next can leave first.
/// guardian: tightens at once and can loosen nothing.
abstract contract Stewards {
    address public ownerLock;
    address public plannerLock;
    address public guardian;

    event StewardsSet(address ownerLock, address plannerLock, address guardian);

    error NotPermitted();

    constructor(address ownerLock_, address plannerLock_, address guardian_) {
        _setStewards(ownerLock_, plannerLock_, guardian_);
    }

    modifier only(address who) {
        if (msg.sender != who) revert NotPermitted();
        _;
    }

    function setOwnerLock(address next) external only(ownerLock) {
        _setStewards(next, plannerLock, guardian);
    }

    function setPlannerLock(address next) external only(plannerLock) {
        _setStewards(ownerLock, next, guardian);
    }

    function setGuardian(address next) external only(plannerLock) {
        _setStewards(ownerLock, plannerLock, next);
    }

    function isSteward(address who) public view returns (bool) {
        return who == guardian || who == ownerLock || who == plannerLock;
    }

    function _setStewards(address ownerLock_, address plannerLock_, address guardian_) private {
        if (ownerLock_ == address(0) || plannerLock_ == address(0)) revert NotPermitted();
        (ownerLock, plannerLock, guardian) = (ownerLock_, plannerLock_, guardian_);
        emit StewardsSet(ownerLock_, plannerLock_, guardian_);
    }
}
