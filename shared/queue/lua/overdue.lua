-- The janitor's look at every job whose time has come. Any number of copies may run.
-- A lease that ran out means that its process died. Nobody can tell which of the jobs it had in hand
-- killed it, so their attempts are given back; after `quarantine_at` such deaths a job runs alone,
-- and a death then is its own, as were those before.
-- Answers {doorbells to ring as {id, lane}, ids failed as poisoned}.
local rings, poisoned = {}, {}
local due = redis.call('ZRANGEBYSCORE', key('due'), '-inf', now, 'LIMIT', 0, args.limit)
for _, id in ipairs(due) do
  local job = load_job(id)
  if not job then
    redis.call('ZREM', key('due'), id)
  elseif job.status == 'queued' then
    -- A long backlog must not be rung again and again: its messages are still there.
    local depth = redis.call('LLEN', args.queues[job.lane])
    local age = now - tonumber(job.rung or 0)
    if depth < args.shallow or age > args.long_ms then
      local count = redis.call('HINCRBY', key('job', id), 'rings', 1)
      redis.call('HSET', key('job', id), 'rung', now)
      redis.call('ZADD', key('due'), now + math.min(args.ring_ms * 2 ^ count, args.spacing_ms), id)
      table.insert(rings, {id, job.lane})
    else
      redis.call('ZADD', key('due'), now + args.spacing_ms, id)
    end
  elseif job.status == 'processing' then
    local crashes = redis.call('HINCRBY', key('job', id), 'crashes', 1)
    if job.quarantined and crashes >= args.max_attempts then
      redis.call('HINCRBY', key('job', id), 'attempts', args.quarantine_at)
      conclude(id, job, 'failed', args.poisoned)
      table.insert(poisoned, id)
    else
      if not job.quarantined then redis.call('HINCRBY', key('job', id), 'attempts', -1) end
      if crashes >= args.quarantine_at then redis.call('HSET', key('job', id), 'quarantined', 1) end
      -- What the dead worker may still store is swept later.
      redis.call('HDEL', key('job', id), 'token')
      redis.call('ZADD', key('sweep'), now + args.linger_ms, attempt_folder(job, id))
      enqueue(id, job.tenant, 'reclaimed', now + args.ring_ms)
      table.insert(rings, {id, 'reclaimed'})
    end
  else
    redis.call('ZREM', key('due'), id)
  end
end
return {rings, poisoned}
