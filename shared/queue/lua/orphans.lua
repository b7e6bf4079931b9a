-- Which of these storage names does Redis not know? A photo or upload is known by its record, a job's
-- files by the job's record, and any file by a note that it is swept. `names` are {kind, id, name}, a
-- name being one that can be noted. With `note` those that are not known are noted to be swept now.
-- Returns their places in `names`, from 0; nothing while nothing may be swept.
local found = {}
if redis.call('EXISTS', key('hold')) == 1 then return found end
for at, item in ipairs(args.names) do
  local record = item[1] == 'input' and key('input', item[2]) or key('job', item[2])
  if redis.call('EXISTS', record) == 0 and not redis.call('ZSCORE', key('sweep'), item[3]) then
    table.insert(found, at - 1)
    if args.note then redis.call('ZADD', key('sweep'), now, item[3]) end
  end
end
return found
