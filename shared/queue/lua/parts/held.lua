-- Bytes that a tenant's records hold in Redis, estimated from above. What was counted for a record is
-- kept in it and given back exactly, so that the counts never drift. `*` counts all tenants.
local RECORD_BYTES, ARCHIVED_BYTES, DELIVERY_BYTES = 1800, 400, 1200 -- without their text

-- Redis allocates up to a quarter more than a text's length.
local function text_bytes(length)
  return math.ceil(1.25 * length)
end

local function hold(tenant, bytes)
  for _, name in ipairs({tenant, '*'}) do
    -- Never below nothing: what was stored before there were counts is given back uncounted.
    if redis.call('HINCRBY', key('held'), name, bytes) <= 0 then redis.call('HDEL', key('held'), name) end
  end
end

-- Count more bytes for the record of a job or a delivery: `record` is its key.
local function hold_more(record, tenant, bytes)
  redis.call('HINCRBY', record, 'bytes', bytes)
  hold(tenant, bytes)
end

-- Give back what a record that is about to be deleted holds.
local function let_bytes_go(record, tenant)
  hold(tenant, 0 - tonumber(redis.call('HGET', record, 'bytes') or 0)) -- not -0, which is no integer
end

-- What an archived job holds: `name` is its member of `expiry`.
local function archived_bytes(name)
  return ARCHIVED_BYTES + text_bytes(#name)
end

-- Bytes that a job's record will hold. `url` is its photo's, `slot` its idempotency key.
local function record_bytes(fields, url, slot)
  local length = #(url or '') + 2 * #(slot or '')
  for name, value in pairs(fields) do length = length + #name + #value end
  return RECORD_BYTES + text_bytes(length)
end
