-- uses: names, jobs, held
-- Drop the record of an archived job, keeping until its expiry what erasing it needs.
-- Returns 1, or 0 if there is no such record: another sweeper dropped it, or it was erased.
local name = remains_name(args.archived, args.id)
local archive = archive_name(args.archived, args.id)
local job = load_job(args.id)
if job and job.finished then
  redis.call('ZREM', key('expiry'), args.id)
  redis.call('ZADD', key('expiry'), math.min(tonumber(job.finished), now) + args.retention_ms, name)
  redis.call('ZREM', key('sweep'), archive)
  redis.call('ZREM', key('jobs', job.tenant), args.id)
  let_bytes_go(key('job', args.id), job.tenant)
  hold(job.tenant, archived_bytes(name))
  redis.call('DEL', key('job', args.id))
  return 1
end
if not job and not redis.call('ZSCORE', key('expiry'), name) then
  redis.call('ZADD', key('sweep'), now, archive) -- erased meanwhile: sweep the archive that came too late
end
return 0
