-- Notes that a session was used now, and forgets those whose end has passed.
-- It is idempotent by nature.
--
-- KEYS[1]  sorted set: session id by last use
-- KEYS[2]  sorted set: session id by end, ms
-- KEYS[3]  when the owner's epoch began, ms
-- ARGV     1 session id  2 its end, ms  3 how many there may be, 0 for any number
--          4 when it was proved, ms, 0 for no matter
-- Reply    the least recently used ones beyond that number; 'outdated', and nothing
--          is noted, if the epoch is not before the proof
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local proved = tonumber(ARGV[4])
if proved > 0 and tonumber(redis.call('GET', KEYS[3]) or '0') >= proved then return {'outdated'} end

for _, sid in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', string.format('%.0f', now))) do
  redis.call('ZREM', KEYS[1], sid)
  redis.call('ZREM', KEYS[2], sid)
end

-- Microseconds, so that two logins in one millisecond keep their order.
local used = t[1] * 1000000 + t[2]
local ends = math.max(tonumber(ARGV[2]), tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or '0'))
redis.call('ZADD', KEYS[1], string.format('%.0f', used), ARGV[1])
redis.call('ZADD', KEYS[2], string.format('%.0f', ends), ARGV[1])

local last = redis.call('ZREVRANGE', KEYS[2], 0, 0, 'WITHSCORES')[2]
for i = 1, 2 do redis.call('PEXPIREAT', KEYS[i], string.format('%.0f', tonumber(last))) end

local over = redis.call('ZCARD', KEYS[1]) - tonumber(ARGV[3])
if tonumber(ARGV[3]) == 0 or over <= 0 then return {} end
return redis.call('ZRANGE', KEYS[1], 0, over - 1)
