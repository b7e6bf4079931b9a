-- Note an input before its bytes are stored, so that one never used is swept; answers when.
return note_input(args.id, args.expiry_ms)
