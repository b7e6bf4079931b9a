-- Record what a stored photo is. One that was erased meanwhile stays erased.
-- Returns 1, or 0 if it was erased.
local photo = key('input', args.id)
if redis.call('EXISTS', photo) == 0 then return 0 end
redis.call('HSET', photo, 'stored', 1, 'digest', args.digest, 'bytes', args.bytes)
if args.pixels then redis.call('HSET', photo, 'pixels', args.pixels) end
return 1
