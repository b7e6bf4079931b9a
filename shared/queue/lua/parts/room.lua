-- uses: names, held
-- Whether there is room for more.

-- Redis's maxmemory and the memory it uses, in bytes; a maxmemory of 0 is no limit.
local function memory()
  local info = redis.call('INFO', 'memory')
  return tonumber(string.match(info, 'maxmemory:(%d+)')), tonumber(string.match(info, 'used_memory:(%d+)'))
end

-- A tenant that holds most of its share: have finished jobs of its archived now instead of later. A
-- sample, because the oldest may all be unfinished.
local function archive_early(tenant)
  for _, id in ipairs(redis.call('ZRANDMEMBER', key('jobs', tenant), 50)) do
    local date = tonumber(redis.call('ZSCORE', key('expiry'), id) or 0)
    if date > now + 60000 then redis.call('ZADD', key('expiry'), now, id) end
  end
end

-- Would `bytes` more be too much? Returns nil, 'bytes' or 'tenant_bytes'.
local function oversized(limits, tenant, bytes)
  local limit, most = memory(), limits.bytes
  if limit > 0 then most = math.min(most, limit * limits.memory_share) end
  local held = redis.call('HMGET', key('held'), tenant, '*')
  local own = tonumber(held[1] or 0) + bytes
  if own > 0.75 * most * limits.share then archive_early(tenant) end
  if own > most * limits.share then return 'tenant_bytes' end
  if tonumber(held[2] or 0) + bytes > most then return 'bytes' end
  return nil
end

-- Is the queue full, or the tenant's share of it? Returns nil, or what is full:
-- queue | tenant (in jobs), bytes | tenant_bytes.
local function crowded(limits, tenant, bytes)
  local depth = 0
  for _, lane in ipairs(limits.lanes) do depth = depth + redis.call('ZCARD', key('lane', lane)) end
  if depth >= limits.queue then return 'queue' end
  if tonumber(redis.call('HGET', key('queued'), tenant) or 0) >= limits.tenant then return 'tenant' end
  return limits.bytes and oversized(limits, tenant, bytes)
end

-- Is more than this share of Redis's memory used?
local function short_of_memory(share)
  local limit, used = memory()
  return limit > 0 and used > limit * share
end

-- Note the tenant's photo before its bytes are stored. Returns when it is swept if no job uses it.
local function note_input(id, expiry_ms)
  redis.call('HSET', key('input', id), 'tenant', args.tenant, 'refs', 0)
  if args.bytes then redis.call('HSET', key('input', id), 'bytes', args.bytes) end
  redis.call('ZADD', key('sweep'), now + expiry_ms, input_name(args.tenant, id))
  return now + expiry_ms
end
