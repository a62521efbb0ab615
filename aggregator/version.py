"""The one place that names this code's version; reports carry it, so that a replay knows what it is compared with."""

VERSION = "0.1.0"
