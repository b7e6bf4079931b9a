-- Finished jobs whose time has come: to be archived, and at their end to be erased. Each is put off by
-- a minute, so that one whose storage is away, or another janitor's, is left alone meanwhile.
-- Answers {{archive | erase, id, archived name or nothing}, ...}.
local found = {}
local due = redis.call('ZRANGEBYSCORE', key('expiry'), '-inf', now, 'LIMIT', 0, args.limit)
for _, name in ipairs(due) do
  local id = string.match(name, '/jobs/([^/]+)/') or name
  local job = id == name and load_job(id)
  if id ~= name then
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
return found
