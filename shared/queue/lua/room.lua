-- Is there room for one more job? Reads only. Answers nil, or what is full: queue | tenant.
return crowded(args.limits, args.tenant)
