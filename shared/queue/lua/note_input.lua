-- uses: room
-- Note a photo before its bytes are stored, so that it is swept if no job uses it. Its signed URL
-- accepts a PUT for `open_ms`, even after its last job was erased.
-- Returns when it is swept, or nil if Redis is short of memory.
if short_of_memory(args.memory_share) then return nil end
if args.open_ms then redis.call('HSET', key('input', args.id), 'lingers', now + args.open_ms) end
return note_input(args.id, args.expiry_ms)
