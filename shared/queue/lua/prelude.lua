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

-- Put a job (back) into a lane, to be looked at again at `due`.
local function enqueue(id, lane, due)
  redis.call('HSET', key('job', id), 'status', 'queued', 'lane', lane, 'rung', now)
  redis.call('ZADD', key('lane', lane), turn, id)
  redis.call('ZADD', key('due'), due, id)
end

-- Does this worker still own the job?
local function owns(id, token)
  local held = redis.call('HMGET', key('job', id), 'status', 'token')
  return held[1] == 'processing' and held[2] == token
end

-- The one way into a terminal state: off the due set, dated, announced, its webhook queued.
local function conclude(id, job, status, outcome)
  redis.call('HSET', key('job', id), 'status', status, 'finished', now)
  redis.call('HDEL', key('job', id), 'token')
  if outcome then redis.call('HSET', key('job', id), 'outcome', outcome) end
  redis.call('ZREM', key('due'), id)
  redis.call('ZREM', key('lane', job.lane), id)
  redis.call('ZADD', key('expiry'), now + args.retention_ms, id)
  if job.claims then
    if status == 'succeeded' then
      redis.call('ZREM', key('sweep'), attempt_folder(job, id))
    else
      redis.call('ZADD', key('sweep'), now + args.linger_ms, attempt_folder(job, id))
    end
  end
  local webhook = cjson.decode(job.request).webhook
  local event = 'job.' .. status
  if webhook and webhook ~= cjson.null then
    local wanted = webhook.events == nil
    for _, name in ipairs(webhook.events or {}) do wanted = wanted or name == event end
    if wanted then
      local delivery = 'msg_' .. string.sub(id, 5)
      redis.call('HSET', key('delivery', delivery), 'job', id, 'tenant', job.tenant,
        'url', webhook.url, 'event', event, 'state', 'pending', 'attempts', 0)
      redis.call('ZADD', key('deliveries'), now, delivery)
    end
  end
  redis.call('PUBLISH', key('finished'), id)
end
