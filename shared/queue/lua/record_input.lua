-- Remember what a photo is, now that it is stored. One that was erased meanwhile must not come back
-- as a record of its digest. Answers 1, or 0 where it was.
local photo = key('input', args.id)
if redis.call('EXISTS', photo) == 0 then return 0 end
redis.call('HSET', photo, 'stored', 1, 'digest', args.digest, 'bytes', args.bytes,
  'pixels', args.pixels)
return 1
