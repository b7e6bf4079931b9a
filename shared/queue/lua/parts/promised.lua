-- Bytes of uploads that a tenant may still send or has sent, and that no job has used.
local LEAST_PROMISE = 65536 -- a small file costs a record and an object too

-- Count an upload of this size; false if the tenant's quota has no room for it.
local function promise(id, tenant, bytes, quota)
  local counted = math.max(bytes, LEAST_PROMISE)
  if tonumber(redis.call('HGET', key('promised'), tenant) or 0) + counted > quota then return false end
  redis.call('HINCRBY', key('promised'), tenant, counted)
  redis.call('HSET', key('input', id), 'promised', counted)
  return true
end

-- The upload is used or gone: give its bytes back to its tenant's quota.
local function keep_promise(id)
  local held = redis.call('HMGET', key('input', id), 'tenant', 'promised')
  if not held[2] then return end
  redis.call('HDEL', key('input', id), 'promised')
  if redis.call('HINCRBY', key('promised'), held[1], -held[2]) <= 0 then
    redis.call('HDEL', key('promised'), held[1])
  end
end
