"""Tests of the bootstrap, the supervisor and the local services."""
