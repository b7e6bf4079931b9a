-- uses: names, jobs, held, promised, room
-- Create a job, at most one per idempotency key. Only after this may a caller be told 202.
-- Returns {answer, job id}: accepted | repeated | mismatch | input_gone | backdrop_gone, or what is full:
-- queue | tenant | bytes | tenant_bytes. For an accepted job also its time and its position in the lane, from 0.
local slot
if args.idempotency_key then
  slot = key('idempotency', args.tenant .. ':' .. args.idempotency_key)
  local held = redis.call('HMGET', slot, 'job', 'fingerprint')
  if held[1] and redis.call('EXISTS', key('job', held[1])) == 1 then
    if held[2] == args.fingerprint then return {'repeated', held[1]} end
    return {'mismatch', held[1]}
  end
end

local bytes = record_bytes(args.fields, args.url, args.idempotency_key)
local full = args.limits and crowded(args.limits, args.tenant, bytes)
if full then return {full, args.id} end

local backdrop = args.backdrop and key('input', args.backdrop)
if backdrop and redis.call('HGET', backdrop, 'tenant') ~= args.tenant then
  return {'backdrop_gone', args.id}
end
local input = key('input', args.input)
if args.url then
  redis.call('HSET', input, 'tenant', args.tenant, 'url', args.url)
elseif redis.call('HGET', input, 'tenant') ~= args.tenant then
  return {'input_gone', args.id}
end
if args.bytes then redis.call('HSET', input, 'stored', 1, 'bytes', args.bytes) end
if args.digest then redis.call('HSET', input, 'digest', args.digest) end
if args.pixels then redis.call('HSET', input, 'pixels', args.pixels) end
for _, used in ipairs({args.input, args.backdrop}) do
  redis.call('HINCRBY', key('input', used), 'refs', 1)
  keep_promise(used)
  redis.call('ZREM', key('sweep'), input_name(args.tenant, used))
end

local job = key('job', args.id)
for name, value in pairs(args.fields) do redis.call('HSET', job, name, value) end
redis.call('HSET', job, 'created', now)
hold_more(job, args.tenant, bytes)
-- The janitor looks soon: the doorbell that follows is best effort.
enqueue(args.id, args.tenant, args.lane, now + args.ring_ms)
redis.call('ZADD', key('jobs', args.tenant), turn, args.id)
if slot then
  redis.call('HSET', slot, 'job', args.id, 'fingerprint', args.fingerprint)
  redis.call('PEXPIRE', slot, args.idempotency_ms)
  redis.call('HSET', job, 'slot', args.idempotency_key)
end
return {'accepted', args.id, now, redis.call('ZRANK', key('lane', args.lane), args.id)}
