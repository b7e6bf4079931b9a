-- uses: names
-- Whether there is room for more.

-- Is the queue full, or the tenant's share of it? Returns nil, 'queue' or 'tenant'.
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

-- Note the tenant's photo before its bytes are stored. Returns when it is swept if no job uses it.
local function note_input(id, expiry_ms)
  redis.call('HSET', key('input', id), 'tenant', args.tenant, 'refs', 0)
  if args.bytes then redis.call('HSET', key('input', id), 'bytes', args.bytes) end
  redis.call('ZADD', key('sweep'), now + expiry_ms, input_name(args.tenant, id))
  return now + expiry_ms
end
