-- The janitor's look at the jobs whose time has come. Any number of copies may run.
-- First leases that ran out: their process died. Nobody can tell which of the jobs it had in hand
-- killed it, so their attempts are given back; after `quarantine_at` such deaths a job runs alone,
-- and a death then is its own, as were those before.
-- Then queued jobs whose message may be lost. A lane's messages are served in turn: one that is
-- short of them is rung for, in a long one only a job that was passed over, or whose delay is over.
-- Answers {doorbells to ring as {id, lane}, ids failed as poisoned, 1 where there is more to see to}.
local rings, poisoned, looked = {}, {}, 0

local function overdue(set)
  if looked >= args.limit then return {} end
  local ids = redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, args.limit - looked)
  looked = looked + #ids
  return ids
end

local known = {}
-- How a lane stands: whether it is short of messages, and when the job last claimed was rung.
local function standing(lane)
  if not known[lane] then
    local messages = redis.call('LLEN', args.queues[lane])
    local jobs = redis.call('ZCARD', key('lane', lane))
    local served = redis.call('HGET', key('served'), lane)
    known[lane] = {messages < math.min(args.shallow, 2 * jobs), tonumber(served or 0)}
  end
  return known[lane][1], known[lane][2]
end

-- In a long lane, a job's position decides when it is checked next. If the lane turns out to be
-- short of messages because some were lost, its first jobs are checked now.
local function hurry(lane)
  if not standing(lane) then return end
  local first = redis.call('ZRANGE', key('lane', lane), 0, args.limit - 1)
  for at, score in ipairs(redis.call('ZMSCORE', key('due'), unpack(first))) do
    if score and tonumber(score) > now + args.spacing_ms then
      redis.call('ZADD', key('due'), now, first[at])
    end
  end
end

-- A reclaimed job has waited for a lease already, and its message may be in the hands of a worker
-- that dies as well: it is rung for sooner, and oftener.
local function until_ring(lane, count)
  if lane == 'reclaimed' then return args.reclaimed_ms * count end
  return args.ring_ms * 2 ^ count
end

local function look_at_queued(id, job)
  if tonumber(job.not_before or 0) > now then
    redis.call('ZADD', key('due'), job.not_before, id)
    return
  end
  local place = redis.call('ZRANK', key('lane', job.lane), id) or 0
  local wait = math.min(math.max(args.spacing_ms, place * args.place_ms), args.longest_ms)
  local short, served = standing(job.lane)
  local rung = tonumber(job.rung or 0)
  local passed_over = rung < served and rung + args.spacing_ms <= now
  if short or passed_over or job.not_before then
    local count = redis.call('HINCRBY', key('job', id), 'rings', 1)
    redis.call('HSET', key('job', id), 'rung', now)
    redis.call('HDEL', key('job', id), 'not_before')
    if short then wait = math.min(until_ring(job.lane, count), args.spacing_ms) end
    table.insert(rings, {id, job.lane})
  end
  redis.call('ZADD', key('due'), now + wait, id)
end

local function take_back(id, job)
  local crashes = redis.call('HINCRBY', key('job', id), 'crashes', 1)
  if job.quarantined and crashes >= args.max_attempts then
    redis.call('HINCRBY', key('job', id), 'attempts', args.quarantine_at)
    conclude(id, job, 'failed', args.poisoned)
    table.insert(poisoned, id)
    return
  end
  if not job.quarantined then redis.call('HINCRBY', key('job', id), 'attempts', -1) end
  if crashes >= args.quarantine_at then redis.call('HSET', key('job', id), 'quarantined', 1) end
  -- What the dead worker may still store is swept later.
  redis.call('HDEL', key('job', id), 'token')
  redis.call('ZADD', key('sweep'), now + args.linger_ms, attempt_folder(job, id))
  enqueue(id, job.tenant, 'reclaimed', now + args.reclaimed_ms)
  table.insert(rings, {id, 'reclaimed'})
end

for _, id in ipairs(overdue(key('leased'))) do
  local job = load_job(id)
  if job and job.status == 'processing' then
    take_back(id, job)
  else
    redis.call('ZREM', key('leased'), id)
  end
end

for lane in pairs(args.queues) do hurry(lane) end
for _, id in ipairs(overdue(key('due'))) do
  local job = load_job(id)
  if job and job.status == 'queued' then
    look_at_queued(id, job)
  elseif job and job.status == 'processing' then
    take_back(id, job) -- claimed by a worker of a version that kept its leases here
  else
    redis.call('ZREM', key('due'), id)
  end
end
return {rings, poisoned, looked >= args.limit and 1 or 0}
