"""Times that several scripts of the queue share, in milliseconds."""

#: Before the janitor looks at an accepted job again, in case its message was lost.
RING_MS = 2_000
#: As `RING_MS`, for a job that was taken back from a worker.
RECLAIMED_RING_MS = 1_000
#: How long a worker that lost its lease may still be storing files: longer than any stage takes.
LINGER_MS = 10 * 60 * 1000
