-- uses: names, jobs, held, promised, webhooks
-- Forget a job in any state, and note its files for sweeping before they are deleted. For a job that
-- Redis has dropped, the caller passes what it knows of it: `archived`.
-- Returns nil if there is no such job, else {storage keys to delete, 1 if nobody can still store}.
local job = load_job(args.id)
local counted = true -- does the photo's count of uses still include this job?
if not job and args.archived then
  job = args.archived
  local name = remains_name(job, args.id)
  counted = redis.call('ZREM', key('expiry'), name) == 1
  if counted then hold(job.tenant, -archived_bytes(name)) end
end
if not job or (args.tenant and job.tenant ~= args.tenant) then return nil end

-- A name noted for a future date may still be stored to: a claim's folder and the photo by its worker,
-- the archive by a sweeper, the photo by whoever holds its signed URL. Then everything is swept once
-- more after that date.
local files, busy, swept = {}, job.status == 'processing', now
local function discard(name, surely)
  local date = tonumber(redis.call('ZSCORE', key('sweep'), name) or 0)
  busy = busy or date > now
  if surely or date > 0 then table.insert(files, name) end
end

for claim = 1, tonumber(job.claims or 0) do
  discard(attempt_folder(job, args.id, claim), claim == tonumber(job.claims))
end
discard(archive_name(job, args.id), args.archived)
for _, input in ipairs({job.input, job.backdrop}) do
  local photo = key('input', input)
  local used = counted and redis.call('HINCRBY', photo, 'refs', -1)
    or redis.call('HGET', photo, 'refs')
  -- At most a week, the longest that a signed URL lasts, if the clock went back.
  local lingers = math.min(tonumber(redis.call('HGET', photo, 'lingers') or 0), now + 604800000)
  if tonumber(used or 0) <= 0 then
    swept = math.max(swept, lingers)
    busy = busy or swept > now
    keep_promise(input)
    redis.call('DEL', photo)
    discard(input_name(job.tenant, input), true)
    discard(upload_name(job.tenant, input), false)
  elseif busy then
    -- For the job that uses the photo last, which does not know about this job's worker.
    redis.call('HSET', photo, 'lingers', math.max(lingers, now + args.linger_ms))
  end
end
for _, name in ipairs(files) do
  redis.call('ZADD', key('sweep'), busy and swept + args.linger_ms or now, name)
end

let_bytes_go(key('job', args.id), job.tenant)
redis.call('DEL', key('job', args.id))
local slot = job.slot and key('idempotency', job.tenant .. ':' .. job.slot)
if slot and redis.call('HGET', slot, 'job') == args.id then redis.call('DEL', slot) end
for _, kind in ipairs({'', '_review'}) do
  local delivery = 'msg_' .. string.sub(args.id, 5) .. kind
  local url = redis.call('HGET', key('delivery', delivery), 'url')
  if url then
    unqueue_delivery(delivery, job.tenant, url)
    let_bytes_go(key('delivery', delivery), job.tenant)
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
