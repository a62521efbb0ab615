"""Tasks: Celery as the doorbell. A task's only argument is an id; what it means stands in the database, which is also the queue."""
