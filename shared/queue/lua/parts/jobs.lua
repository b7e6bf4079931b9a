-- A job's record, its lane, and who owns it.
local function load_job(id)
  local flat = redis.call('HGETALL', key('job', id))
  if #flat == 0 then return nil end
  local job = {}
  for i = 1, #flat, 2 do job[flat[i]] = flat[i + 1] end
  return job
end

-- Put a job into a lane; the janitor looks at it at `due`. The tenant's count of queued jobs changes
-- only when the lane's members do, so the two cannot drift apart.
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

-- Is a delay of a queued job running still? It began when the job was rung: if that is yet to come, the
-- clock has gone back since, and no delay is longer than a jump that anyone would notice.
local function is_delayed(not_before, rung)
  return tonumber(not_before or 0) > now and tonumber(rung or 0) <= now
end

-- Does the worker with this lease token still own the job?
local function owns(id, token)
  local held = redis.call('HMGET', key('job', id), 'status', 'token')
  return held[1] == 'processing' and held[2] == token
end
