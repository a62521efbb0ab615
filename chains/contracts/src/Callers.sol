// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

// Bits of a rule: who may make the call, and how it is treated. The numbers are part of the deployed rule table.

// The owners alone, through the guard.
uint8 constant OWNER = 1;
// The owners with a trade ticket of the engine over the exact bytes.
uint8 constant TICKET = 2;
// The planner quorum, through MarginModule.execute.
uint8 constant PLANNER = 4;
// When the owners alone make it, the amount counts against their daily turnover.
uint8 constant METERED = 8;
// Reduces risk: admitted while the planner is paused.
uint8 constant CALM = 16;
// Puts the credit line's token into a pinned venue, or back into the line.
uint8 constant SINK = 32;
// The planner's and the ticket's leaking buckets do not apply.
uint8 constant UNCAPPED = 64;
// The three bits that name a caller.
uint8 constant CALLERS = OWNER | TICKET | PLANNER;

// Key sets of MarginModule.
uint8 constant PLANNERS = 0;
uint8 constant TICKETS = 1;
