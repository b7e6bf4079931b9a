-- Forget a job whatever its state, and note its files for sweeping before they are deleted. One that
-- Redis has let go is known by what the caller read of it elsewhere: `archived`.
-- Answers nil where there is none, else {storage keys to delete, 1 where nobody can still store}.
local job = load_job(args.id)
local counted = true -- whether the photo is still counted as used by this job
if not job and args.archived then
  job = args.archived
  counted = redis.call('ZREM', key('expiry'), archived_name(job, args.id)) == 1
end
if not job or (args.tenant and job.tenant ~= args.tenant) then return nil end

-- What is noted for a date to come may still be stored: a claim's folder by its worker, which may be
-- fetching the photo too, and the archive by a sweeper; and a photo by whoever has its signed address.
-- All is swept again once that is over.
local files, busy, swept = {}, job.status == 'processing', now
local function doom(name, surely)
  local date = tonumber(redis.call('ZSCORE', key('sweep'), name) or 0)
  busy = busy or date > now
  if surely or date > 0 then table.insert(files, name) end
end

for claim = 1, tonumber(job.claims or 0) do
  doom(attempt_folder({tenant = job.tenant, claims = claim}, args.id), claim == tonumber(job.claims))
end
doom(archive_name(job, args.id), args.archived)
for _, input in ipairs({job.input, job.backdrop}) do
  local photo = key('input', input)
  local used = counted and redis.call('HINCRBY', photo, 'refs', -1)
    or redis.call('HGET', photo, 'refs')
  local lingers = tonumber(redis.call('HGET', photo, 'lingers') or 0)
  if tonumber(used or 0) <= 0 then
    swept = math.max(swept, lingers)
    busy = busy or swept > now
    redis.call('DEL', photo)
    doom(job.tenant .. '/inputs/' .. input, true)
  elseif busy then
    -- Remembered for the last job that uses this photo, which does not know this job's worker.
    redis.call('HSET', photo, 'lingers', math.max(lingers, now + args.linger_ms))
  end
end
for _, name in ipairs(files) do
  redis.call('ZADD', key('sweep'), busy and swept + args.linger_ms or now, name)
end

redis.call('DEL', key('job', args.id))
for _, kind in ipairs({'', '_review'}) do
  local delivery = 'msg_' .. string.sub(args.id, 5) .. kind
  local url = redis.call('HGET', key('delivery', delivery), 'url')
  if url then
    unqueue_delivery(delivery, job.tenant, url)
    redis.call('DEL', key('delivery', delivery), key('tries', delivery))
    redis.call('ZREM', key('deliveries', job.tenant), delivery)
  end
end
redis.call('ZREM', key('due'), args.id)
redis.call('ZREM', key('leased'), args.id)
redis.call('ZREM', key('expiry'), args.id)
if job.lane then leave_lane(args.id, job) end
redis.call('ZREM', key('jobs', job.tenant), args.id)
redis.call('PUBLISH', key('finished'), args.id)
return {files, busy and 0 or 1}
