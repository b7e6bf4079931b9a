-- Note an input before its bytes are stored, so that one never used is swept; answers when, or nil
-- where Redis's memory is nearly used up.
if short_of_memory(args.memory_share) then return nil end
return note_input(args.id, args.expiry_ms)
