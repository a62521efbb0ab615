"""What runs on this machine alone: embedded servers, local networks, their supervisor, the demo's story."""
