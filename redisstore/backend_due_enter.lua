-- Makes an owner one of those who are logged in, unless there are too many of them.
-- KEYS  the duties of one backend and account   ARGV  owner, ms until it is looked at, how many there may be (0: any number)
-- Gives 1, or 0 if there are as many already
local t = redis.call('TIME')
local limit = tonumber(ARGV[3])
if limit > 0 and redis.call('ZCARD', KEYS[1]) >= limit and not redis.call('ZSCORE', KEYS[1], ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[2]), ARGV[1])
return 1
