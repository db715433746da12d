-- Lists owners to be looked at, those due longest first.
-- KEYS  the duties of one backend and account   ARGV  within ms, at most
local t = redis.call('TIME')
local till = t[1] * 1000 + math.floor(t[2] / 1000) + tonumber(ARGV[1])
return redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', till), 'LIMIT', 0, ARGV[2])
