-- Forget the record of a job that is archived, keeping what erasing it needs, to its last date.
-- Answers 1, or 0 where there is no such record: let go by another janitor, or erased.
local name = archived_name(args.archived, args.id)
local archive = archive_name(args.archived, args.id)
local job = load_job(args.id)
if job and job.finished then
  redis.call('ZREM', key('expiry'), args.id)
  redis.call('ZADD', key('expiry'), tonumber(job.finished) + args.retention_ms, name)
  redis.call('ZREM', key('sweep'), archive)
  redis.call('ZREM', key('jobs', job.tenant), args.id)
  redis.call('DEL', key('job', args.id))
  return 1
end
if not job and not redis.call('ZSCORE', key('expiry'), name) then
  redis.call('ZADD', key('sweep'), now, archive) -- erased meanwhile: the archive came too late
end
return 0
