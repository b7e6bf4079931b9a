-- Record what a stored photo is, as its reader found it. One that was erased meanwhile stays erased.
-- Returns 1, 0 if it was erased, or 'differs' if another reader recorded another digest.
local photo = key('input', args.id)
if redis.call('EXISTS', photo) == 0 then return 0 end
local known = redis.call('HGET', photo, 'digest')
if known and known ~= args.digest and not args.fetched then return 'differs' end
redis.call('HSET', photo, 'stored', 1, 'digest', args.digest, 'bytes', args.bytes)
if args.pixels then redis.call('HSET', photo, 'pixels', args.pixels) end
return 1
