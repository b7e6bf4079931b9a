"""A long queue for tests: filled quickly, served by hand, aged at will."""

from __future__ import annotations

from shared.job import Lane, Status
from shared.queue import keys as redis_keys
from shared.queue.connection import Connection
from shared.queue.doorbell import QUEUES
from shared.queue.family import PREFIX
from shared.queue.jobs import JobQueue
from shared.queue.leases import LeaseTable
from shared.queue.times import RING_MS
from shared.queue.upkeep import Upkeep
from tests.unit.test_queue import DONE
from worker.courier.janitor import Janitor

#: Makes jobs as `accept` leaves them once rung; a script, because tests make a million.
_FILL = """
local prefix, lane, queue, first, last, due = KEYS[1], ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local time = redis.call('TIME')
local turn = time[1] * 1000000 + time[2]
for number = first, last do
  local id = string.format('job_%024x', number)
  redis.call('HSET', prefix .. 'job:' .. id, 'status', 'queued', 'lane', lane, 'tenant', 'shop',
    'input', 'inp_shared', 'request', '{"priority": "' .. lane .. '"}', 'base_url', 'http://here',
    'rung', math.floor(turn / 1000), 'created', math.floor(turn / 1000))
  redis.call('ZADD', prefix .. 'lane:' .. lane, turn + number - first, id)
  redis.call('ZADD', prefix .. 'due', math.floor(turn / 1000) + tonumber(due), id)
  redis.call('LPUSH', queue, id)
end
redis.call('HINCRBY', prefix .. 'queued', 'shop', last - first + 1)
redis.call('HSET', prefix .. 'input:inp_shared', 'tenant', 'shop', 'refs', last + 1)
"""
#: Makes every time stamp `ARGV[1]` ms older.
_AGE = """
local prefix, ms = KEYS[1], ARGV[1]
for _, set in ipairs({'due', 'leased'}) do
  for _, id in ipairs(redis.call('ZRANGE', prefix .. set, 0, -1)) do
    redis.call('ZINCRBY', prefix .. set, -ms, id)
    for _, field in ipairs({'rung', 'not_before'}) do
      if redis.call('HEXISTS', prefix .. 'job:' .. id, field) == 1 then
        redis.call('HINCRBY', prefix .. 'job:' .. id, field, -ms)
      end
    end
  end
end
for _, lane in ipairs(redis.call('HKEYS', prefix .. 'served')) do
  redis.call('HINCRBY', prefix .. 'served', lane, -ms)
end
"""


class Backlog:
    """One lane in Redis; its messages are bare job ids in the list that Celery would use."""

    def __init__(self, connection: Connection, lane: Lane = Lane.BULK) -> None:
        self.redis, self.lane, self.queue = connection.redis, lane, QUEUES[lane]
        self.jobs = JobQueue(connection, retention_ms=60_000)
        self.leases = LeaseTable(connection, worker="one", lease_ms=30_000, retention_ms=60_000)
        self.upkeep = Upkeep(connection, max_attempts=3, retention_ms=60_000)
        self.janitor = Janitor(self.upkeep, self.jobs, self)
        self.rung: list[str] = []
        self._made = 0

    def ring(self, job_id: str, lane: Lane) -> bool:
        """Ring for a job, as the janitor's doorbell; always True."""
        self.rung.append(job_id)
        self.redis.lpush(QUEUES[lane], job_id)
        return True

    def fill(self, count: int, *, due_ms: int = RING_MS) -> list[str]:
        """Queue `count` jobs with their messages; the janitor checks them after `due_ms`."""
        first, self._made = self._made, self._made + count
        for start in range(first, self._made, 10_000):
            last = min(start + 10_000, self._made) - 1
            self.redis.eval(_FILL, 1, PREFIX, self.lane, self.queue, start, last, due_ms)
        return [f"job_{number:024x}" for number in range(first, self._made)]

    def age(self, seconds: float) -> None:
        """Make the queue `seconds` older."""
        self.redis.eval(_AGE, 1, PREFIX, int(seconds * 1000))

    def look(self) -> None:
        """Run the janitor until it finds nothing more to do."""
        while self.janitor.look():
            pass

    def take(self) -> str | None:
        """Take the next message without claiming its job; None if there is none."""
        job_id: str | None = self.redis.rpop(self.queue)
        return job_id

    def serve(self, count: int) -> None:
        """Take the next `count` messages, and claim and finish the jobs they lead to."""
        for _ in range(count):
            job_id = self.take()
            claim = self.leases.claim(job_id) if job_id else None
            if claim is not None:
                self.leases.finish(claim, Status.SUCCEEDED, DONE)

    def messages(self) -> int:
        return int(self.redis.llen(self.queue))

    def queued(self) -> int:
        return int(self.redis.zcard(redis_keys.LANE.key(self.lane)))
