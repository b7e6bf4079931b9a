-- uses: names, jobs, clock
-- Finished jobs whose time has come: to archive, or at their end to erase. Each is put off by a
-- minute, so that others leave it alone meanwhile and it is tried again if storage is down.
-- Returns {{{archive | erase, id, name of its remains or ''}, ...}, ms now}.
hold_if_jumped()
if on_hold() then return {{}, now} end
clamp(key('expiry'), args.retention_ms, args.retention_ms, args.limit)
local found = {}
local due = redis.call('ZRANGEBYSCORE', key('expiry'), '-inf', now, 'LIMIT', 0, args.limit)
for _, name in ipairs(due) do
  local archived = job_of_remains(name)
  local id = archived or name
  local job = not archived and load_job(id)
  if archived then
    table.insert(found, {'erase', id, name})
  elseif not job then
    redis.call('ZREM', key('expiry'), id)
  elseif tonumber(job.finished) + args.retention_ms <= now then
    table.insert(found, {'erase', id, ''})
  else
    -- Noted before it is stored.
    redis.call('ZADD', key('sweep'), now + args.linger_ms, archive_name(job, id))
    table.insert(found, {'archive', id, ''})
  end
  redis.call('ZADD', key('expiry'), 'XX', now + 60000, name)
end
return {found, now}
