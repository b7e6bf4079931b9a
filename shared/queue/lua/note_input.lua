-- Note an input before its bytes are stored, so that one never used is swept; answers when, or nil
-- where Redis's memory is nearly used up. Its signed address can be put to for `open_ms`, even after
-- its last job was erased.
if short_of_memory(args.memory_share) then return nil end
if args.open_ms then redis.call('HSET', key('input', args.id), 'lingers', now + args.open_ms) end
return note_input(args.id, args.expiry_ms)
