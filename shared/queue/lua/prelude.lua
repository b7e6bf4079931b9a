-- Put before every script. KEYS[1] is the prefix of all names, ARGV[1] the arguments as JSON.
-- Redis TIME is the only clock; milliseconds everywhere.
local args = cjson.decode(ARGV[1])

local function key(name, id)
  if id then return KEYS[1] .. name .. ':' .. id end
  return KEYS[1] .. name
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
-- Microseconds, where two jobs of one millisecond must keep their order.
local turn = time[1] * 1000000 + time[2]

-- The folder of a job's current attempt; its file names are fixed, so it is never listed.
local function attempt_folder(job, id)
  return job.tenant .. '/jobs/' .. id .. '/' .. job.claims .. '/'
end

local function load_job(id)
  local flat = redis.call('HGETALL', key('job', id))
  if #flat == 0 then return nil end
  local job = {}
  for i = 1, #flat, 2 do job[flat[i]] = flat[i + 1] end
  return job
end

-- Where a finished job's record is kept once Redis has let it go.
local function archive_name(job, id)
  return job.tenant .. '/jobs/' .. id .. '/job.json'
end

-- What the expiry set holds of a job once its record is gone: all that erasing it needs.
local function archived_name(job, id)
  local name = job.tenant .. '/jobs/' .. id .. '/' .. (job.claims or '') .. '/' .. job.input
  return job.backdrop and name .. '/' .. job.backdrop or name
end

-- Put a job (back) into a lane, to be looked at again at `due`. Its tenant's count of queued jobs
-- changes only where a lane's members do, so that it cannot drift from them.
local function enqueue(id, tenant, lane, due)
  redis.call('HSET', key('job', id), 'status', 'queued', 'lane', lane, 'rung', now)
  if redis.call('ZADD', key('lane', lane), turn, id) == 1 then
    redis.call('HINCRBY', key('queued'), tenant, 1)
  end
  redis.call('ZREM', key('leased'), id)
  redis.call('ZADD', key('due'), due, id)
end

local function leave_lane(id, job)
  if redis.call('ZREM', key('lane', job.lane), id) == 1 then
    if redis.call('HINCRBY', key('queued'), job.tenant, -1) <= 0 then
      redis.call('HDEL', key('queued'), job.tenant)
    end
    if redis.call('EXISTS', key('lane', job.lane)) == 0 then
      redis.call('HDEL', key('served'), job.lane)
    end
  end
end

-- Has the queue, or the tenant's share of it, no room? Answers nil, 'queue' or 'tenant'.
local function crowded(limits, tenant)
  local depth = 0
  for _, lane in ipairs(limits.lanes) do depth = depth + redis.call('ZCARD', key('lane', lane)) end
  if depth >= limits.queue then return 'queue' end
  if tonumber(redis.call('HGET', key('queued'), tenant) or 0) >= limits.tenant then return 'tenant' end
  return nil
end

-- Is more than this share of Redis's memory used?
local function short_of_memory(share)
  local info = redis.call('INFO', 'memory')
  local limit = tonumber(string.match(info, 'maxmemory:(%d+)'))
  local used = tonumber(string.match(info, 'used_memory:(%d+)'))
  return limit > 0 and used > limit * share
end

-- Note an input of the tenant before its bytes are stored; answers when it is swept if unused.
local function note_input(id, expiry_ms)
  redis.call('HSET', key('input', id), 'tenant', args.tenant, 'refs', 0)
  if args.bytes then redis.call('HSET', key('input', id), 'bytes', args.bytes) end
  redis.call('ZADD', key('sweep'), now + expiry_ms, args.tenant .. '/inputs/' .. id)
  return now + expiry_ms
end

-- Does this worker still own the job?
local function owns(id, token)
  local held = redis.call('HMGET', key('job', id), 'status', 'token')
  return held[1] == 'processing' and held[2] == token
end

-- Deliveries wait per receiver (tenant, host and port), so that one that hangs with thousands waiting
-- costs the others nothing. A tenant's receivers are in two shares: `TENANT/silent` for those whose
-- last try got no answer, `TENANT` for the rest. receivers:SHARE has the time at which each receiver
-- is due, and `shares` the time at which each share was last served.
local function receiver_of(tenant, url)
  return tenant .. '/' .. string.lower(string.match(url, '^%a+://([^/?#]*)') or '')
end

local function shares_of(receiver)
  local tenant = string.match(receiver, '^[^/]*')
  return tenant, tenant .. '/silent'
end

-- The share that a receiver is in, for as long as anything waits for it or is on its way.
local function share_of(receiver)
  local others, silent = shares_of(receiver)
  return redis.call('ZSCORE', key('receivers', silent), receiver) and silent or others
end

local function look_at(receiver, share, at)
  redis.call('ZADD', key('receivers', share), 'LT', at, receiver)
  redis.call('ZADD', key('shares'), 'NX', 0, share)
end

local function leave_share(receiver, share)
  redis.call('ZREM', key('receivers', share), receiver)
  if redis.call('EXISTS', key('receivers', share)) == 0 then redis.call('ZREM', key('shares'), share) end
end

-- Put a receiver into the share that its last try earned it.
local function place(receiver, is_silent)
  local others, silent = shares_of(receiver)
  local from, to = silent, others
  if is_silent then from, to = others, silent end
  local look = redis.call('ZSCORE', key('receivers', from), receiver)
  if look then
    leave_share(receiver, from)
    look_at(receiver, to, look)
  end
end

local function queue_delivery(id, tenant, url, due)
  local receiver = receiver_of(tenant, url)
  redis.call('HSET', key('delivery', id), 'state', 'pending', 'due', due)
  redis.call('SADD', key('pending'), id)
  redis.call('ZADD', key('waiting', receiver), due, id)
  look_at(receiver, share_of(receiver), due)
end

-- Take a delivery off its receiver, which then has room for another.
local function unqueue_delivery(id, tenant, url)
  local receiver = receiver_of(tenant, url)
  local waiting, carried = key('waiting', receiver), key('carried', receiver)
  redis.call('SREM', key('pending'), id)
  redis.call('ZREM', waiting, id)
  redis.call('ZREM', carried, id)
  if redis.call('EXISTS', waiting, carried) == 0 then
    leave_share(receiver, share_of(receiver))
  else
    look_at(receiver, share_of(receiver), now)
  end
end

local function is_suspended(tenant, url)
  local till = redis.call('ZSCORE', key('suspended', tenant), url)
  return till and tonumber(till) > now
end

-- Send nothing to this URL any more; remembered as long as the last delivery that can be replayed.
local function suspend(id, tenant, url)
  local suspended = key('suspended', tenant)
  redis.call('HSET', key('delivery', id), 'state', 'suspended')
  redis.call('ZREMRANGEBYSCORE', suspended, '-inf', now)
  redis.call('ZADD', suspended, now + args.retention_ms, url)
  redis.call('PEXPIRE', suspended, args.retention_ms)
end

-- Log a try, the last twenty of each delivery: when it began, how long it took, status, error.
local function log_try(id, took_ms, status, error)
  redis.call('RPUSH', key('tries', id), table.concat({now - took_ms, took_ms, status, error}, ' '))
  redis.call('LTRIM', key('tries', id), -20, -1)
end

local function announce(id, job, url, event)
  redis.call('HSET', key('delivery', id), 'tenant', job.tenant, 'url', url, 'event', event,
    'attempts', 0, 'created', now)
  redis.call('ZADD', key('deliveries', job.tenant), turn, id)
  if is_suspended(job.tenant, url) then
    suspend(id, job.tenant, url)
  else
    queue_delivery(id, job.tenant, url, now)
  end
end

-- Queue the webhook's events for this outcome. Without `events`: the outcome, but no review event.
local function tell(id, job, status, outcome)
  local webhook = cjson.decode(job.request).webhook
  if not webhook or webhook == cjson.null then return end
  local wanted = {}
  for _, event in ipairs(webhook.events or {'job.' .. status}) do wanted[event] = true end
  local delivery = 'msg_' .. string.sub(id, 5)
  if wanted['job.' .. status] then announce(delivery, job, webhook.url, 'job.' .. status) end
  if wanted['job.needs_review'] and status == 'succeeded' then
    local subject = cjson.decode(outcome).subject
    if subject and subject.needs_review then
      announce(delivery .. '_review', job, webhook.url, 'job.needs_review')
    end
  end
end

-- The only way into a terminal state: leaves lane and lease, dates the record, queues webhooks, and
-- wakes waiters.
local function conclude(id, job, status, outcome)
  redis.call('HSET', key('job', id), 'status', status, 'finished', now)
  redis.call('HDEL', key('job', id), 'token')
  if outcome then redis.call('HSET', key('job', id), 'outcome', outcome) end
  redis.call('ZREM', key('due'), id)
  redis.call('ZREM', key('leased'), id)
  leave_lane(id, job)
  -- The first date: from then on the archive has the record.
  redis.call('ZADD', key('expiry'), now + args.record_ms, id)
  if job.claims then
    if status == 'succeeded' then
      redis.call('ZREM', key('sweep'), attempt_folder(job, id))
    else
      redis.call('ZADD', key('sweep'), now + args.linger_ms, attempt_folder(job, id))
    end
  end
  tell(id, job, status, outcome)
  redis.call('PUBLISH', key('finished'), id)
end
