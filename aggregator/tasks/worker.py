"""What a worker adds to Celery: the due-row scan. Imported by workers only, so that who rings needs no database."""

from __future__ import annotations

from aggregator.tasks.app import app
from aggregator.tasks.scan import ScanStep

app.steps["worker"].add(ScanStep)
