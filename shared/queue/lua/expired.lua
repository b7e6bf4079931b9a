-- Jobs past their retention.
return redis.call('ZRANGEBYSCORE', key('expiry'), '-inf', now, 'LIMIT', 0, args.limit)
