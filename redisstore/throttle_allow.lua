-- Says for how long logins are refused. The list holds the times of the last
-- failures, the newest first.
--
-- KEYS[1]  the list
-- ARGV     1 how many failures are too many  2 within how many ms
-- Reply    {ms to wait, 0 for none; now, ms}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local entry = redis.call('LINDEX', KEYS[1], ARGV[1] - 1)
local at = string.match(entry or '', '^(%d+) ')
if not at then return {0, now} end
return {math.max(0, at + ARGV[2] - now), now}
