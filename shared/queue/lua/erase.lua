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

-- Its worker may be storing right now: swept again once that is surely over.
local settled = job.status ~= 'processing'
local sweep_at = settled and now or now + args.linger_ms
local files = {}
local function doom(name)
  redis.call('ZADD', key('sweep'), sweep_at, name)
  table.insert(files, name)
end

if job.claims then doom(attempt_folder(job, args.id)) end
if args.archived or redis.call('ZSCORE', key('sweep'), archive_name(job, args.id)) then
  doom(archive_name(job, args.id))
end
for _, input in ipairs({job.input, job.backdrop}) do
  local used = counted and redis.call('HINCRBY', key('input', input), 'refs', -1)
    or redis.call('HGET', key('input', input), 'refs')
  if tonumber(used or 0) <= 0 then
    redis.call('DEL', key('input', input))
    doom(job.tenant .. '/inputs/' .. input)
  end
end
redis.call('DEL', key('job', args.id))
for _, kind in ipairs({'', '_review'}) do
  local delivery = 'msg_' .. string.sub(args.id, 5) .. kind
  local url = redis.call('HGET', key('delivery', delivery), 'url')
  if url then
    unqueue_delivery(delivery, url)
    redis.call('DEL', key('delivery', delivery), key('tries', delivery))
    redis.call('ZREM', key('deliveries', job.tenant), delivery)
  end
end
redis.call('ZREM', key('due'), args.id)
redis.call('ZREM', key('expiry'), args.id)
if job.lane then leave_lane(args.id, job) end
redis.call('ZREM', key('jobs', job.tenant), args.id)
redis.call('PUBLISH', key('finished'), args.id)
return {files, settled and 1 or 0}
