"""Resident processes: index follows the networks, assess watches the margins. Leased, so that several may run and one writes."""
