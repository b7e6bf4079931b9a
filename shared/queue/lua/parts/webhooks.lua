-- uses: held
-- Deliveries wait per receiver (tenant, host and port), so that one that hangs with thousands waiting
-- delays no other. A tenant's receivers are in two shares: `TENANT/silent` for those whose last try got
-- no answer, `TENANT` for the rest. receivers:SHARE holds when to look at each receiver, `shares` when
-- each share was last served.
local function receiver_of(tenant, url)
  return tenant .. '/' .. string.lower(string.match(url, '^%a+://([^/?#]*)') or '')
end

local function shares_of(receiver)
  local tenant = string.match(receiver, '^[^/]*')
  return tenant, tenant .. '/silent'
end

-- The share that a receiver is in while it has deliveries waiting or in flight.
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

-- Move a receiver to the share that its last try puts it in.
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
  redis.call('HSET', key('delivery', id), 'state', 'pending', 'due', due, 'queued', now)
  redis.call('SADD', key('pending'), id)
  redis.call('ZADD', key('waiting', receiver), due, id)
  look_at(receiver, share_of(receiver), due)
end

-- Take a delivery from its receiver, which then has room for another.
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

-- Stop sending to this URL. Remembered as long as the last delivery that can be replayed, and of a
-- tenant the latest 10,000.
local function suspend(id, tenant, url)
  local suspended = key('suspended', tenant)
  redis.call('HSET', key('delivery', id), 'state', 'suspended')
  redis.call('ZREMRANGEBYSCORE', suspended, '-inf', now)
  redis.call('ZADD', suspended, now + args.retention_ms, url)
  redis.call('ZREMRANGEBYRANK', suspended, 0, -10001)
  redis.call('PEXPIRE', suspended, args.retention_ms)
end

-- Log a try: when it began, how long it took, status, error. The last twenty are kept.
local function log_try(id, took_ms, status, error)
  redis.call('RPUSH', key('tries', id), table.concat({now - took_ms, took_ms, status, error}, ' '))
  redis.call('LTRIM', key('tries', id), -20, -1)
end

local function announce(id, job, url, event)
  redis.call('HSET', key('delivery', id), 'tenant', job.tenant, 'url', url, 'event', event,
    'attempts', 0, 'created', now)
  hold_more(key('delivery', id), job.tenant, DELIVERY_BYTES + text_bytes(3 * #url))
  redis.call('ZADD', key('deliveries', job.tenant), turn, id)
  if is_suspended(job.tenant, url) then
    suspend(id, job.tenant, url)
  else
    queue_delivery(id, job.tenant, url, now)
  end
end
