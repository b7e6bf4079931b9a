-- uses: names, held
-- An archived job found in storage: if Redis has forgotten it, remember what erasing it needs and that
-- it uses its photos, as let_go does. One past its time is noted to be swept, its files by name.
-- Returns known | adopted | swept.
local job = args.archived
local name, archive = remains_name(job, args.id), archive_name(job, args.id)
if redis.call('EXISTS', key('job', args.id)) == 1 or redis.call('ZSCORE', key('expiry'), name)
  or redis.call('ZSCORE', key('sweep'), archive) or redis.call('EXISTS', key('hold')) == 1 then
  return 'known'
end
local ends = args.finished + args.retention_ms
if ends <= now then
  for claim = 1, tonumber(job.claims or 0) do
    redis.call('ZADD', key('sweep'), now, attempt_folder(job, args.id, claim))
  end
  redis.call('ZADD', key('sweep'), now, archive)
  return 'swept'
end
redis.call('ZADD', key('expiry'), math.min(ends, now + args.retention_ms), name)
hold(job.tenant, archived_bytes(name))
for _, input in ipairs({job.input, job.backdrop}) do
  local photo = key('input', input)
  if redis.call('EXISTS', photo) == 0 then redis.call('HSET', photo, 'tenant', job.tenant, 'stored', 1) end
  redis.call('HINCRBY', photo, 'refs', 1)
  redis.call('ZREM', key('sweep'), input_name(job.tenant, input))
end
return 'adopted'
