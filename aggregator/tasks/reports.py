"""Reports: a stored margin report is computed again from its inputs, and has to come out equal in every bit."""

from __future__ import annotations

import logging

from aggregator.errors import NotFound, Retryable
from aggregator.store import reports
from aggregator.store.db import Store
from aggregator.store.reports import Verified
from aggregator.tasks.app import REPORTS, task
from aggregator.tasks.runtime import current

LOG = logging.getLogger(__name__)


@task(REPORTS)
def verify(report_id: int) -> None:
    """Task: verify one report; a difference goes into the event log."""
    try:
        verify_and_tell(current().store, report_id)
    except (NotFound, Retryable) as error:
        LOG.warning("report %s is not verified: %s", report_id, error)


def verify_and_tell(store: Store, report_id: int) -> Verified:
    """Verify one report and write a 'report.differs' event when it does not come out again. Raises NotFound, Retryable."""
    found = reports.verify(store, report_id)
    if not found.equal:
        reports.tell_difference(store, found)
        LOG.error("report %s of %s does not come out again: %s", report_id, found.client, ", ".join(found.differing))
    return found
