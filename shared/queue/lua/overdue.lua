-- uses: names, jobs, conclude, clock
-- The janitor's look at jobs whose time has come. Any number of copies may run.
-- First, expired leases: their process died. Nobody can tell which of its jobs killed it, so none is
-- charged an attempt; after `quarantine_at` such deaths a job runs alone, and then a death is its own.
-- Then, queued jobs whose doorbell may be lost. A lane's messages are served in order: if the lane has
-- too few messages, the job is rung again; otherwise only if it was passed over or its delay is over.
-- If the clock jumped forward, leases only seem to have expired: nothing is done, so that the caller can
-- give workers time to renew them.
-- Returns {doorbells to ring as {id, lane}, ids failed as poisoned, 1 if there is more to do, ms now,
-- 1 if the clock jumped}.
hold_if_jumped()
if jumped() then return {{}, {}, 0, now, 1} end
local rings, poisoned, looked = {}, {}, 0

local function overdue(set)
  if looked >= args.limit then return {} end
  local ids = redis.call('ZRANGEBYSCORE', set, '-inf', now, 'LIMIT', 0, args.limit - looked)
  looked = looked + #ids
  return ids
end

local known = {}
-- Is the lane short of messages, and when was the job that it claimed last rung?
local function standing(lane)
  if not known[lane] then
    local messages = redis.call('LLEN', args.queues[lane])
    local jobs = redis.call('ZCARD', key('lane', lane))
    local served = redis.call('HGET', key('served'), lane)
    served = tonumber(served or 0)
    if served > now then served = 0 end -- the clock went back: it tells nothing
    known[lane] = {messages < math.min(args.shallow, 2 * jobs), served}
  end
  return known[lane][1], known[lane][2]
end

-- In a long lane, a job's next look depends on its position. If the lane turns out to be short of
-- messages because some were lost, its first jobs are looked at now.
local function hurry(lane)
  if not standing(lane) then return end
  local first = redis.call('ZRANGE', key('lane', lane), 0, args.limit - 1)
  for at, score in ipairs(redis.call('ZMSCORE', key('due'), unpack(first))) do
    if score and tonumber(score) > now + args.spacing_ms then
      redis.call('ZADD', key('due'), now, first[at])
    end
  end
end

-- A reclaimed job has already waited for a lease to expire, and its new message may be held by a
-- worker that dies too: it is rung sooner and more often.
local function until_ring(lane, count)
  if lane == 'reclaimed' then return args.reclaimed_ms * count end
  return args.ring_ms * 2 ^ count
end

local function look_at_queued(id, job)
  if is_delayed(job.not_before, job.rung) then
    redis.call('ZADD', key('due'), job.not_before, id)
    return
  end
  local place = redis.call('ZRANK', key('lane', job.lane), id) or 0
  local wait = math.min(math.max(args.spacing_ms, place * args.place_ms), args.longest_ms)
  local short, served = standing(job.lane)
  local rung = tonumber(job.rung or 0)
  if rung > now then rung = 0 end -- as for `served`
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
  -- The dead worker may still be storing: sweep later.
  redis.call('HDEL', key('job', id), 'token')
  redis.call('ZADD', key('sweep'), now + args.linger_ms, attempt_folder(job, id))
  enqueue(id, job.tenant, 'reclaimed', now + args.reclaimed_ms)
  table.insert(rings, {id, 'reclaimed'})
end

clamp(key('leased'), args.lease_ms, args.lease_ms, args.limit)
for _, id in ipairs(overdue(key('leased'))) do
  local job = load_job(id)
  if job and job.status == 'processing' then
    take_back(id, job)
  else
    redis.call('ZREM', key('leased'), id)
  end
end

for lane in pairs(args.queues) do hurry(lane) end
looked = looked + clamp(key('due'), args.longest_ms, 0, args.limit)
for _, id in ipairs(overdue(key('due'))) do
  local job = load_job(id)
  if job and job.status == 'queued' then
    look_at_queued(id, job)
  elseif job and job.status == 'processing' then
    take_back(id, job) -- its lease is missing from `leased`
  else
    redis.call('ZREM', key('due'), id)
  end
end
return {rings, poisoned, looked >= args.limit and 1 or 0, now, 0}
