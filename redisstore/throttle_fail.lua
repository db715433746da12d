-- Counts one failed login.
--
-- KEYS[1]  the list of throttle_allow.lua
-- ARGV     1 how many failures are kept  2 for how many ms  3 attempt
-- Reply    1
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
for _, entry in ipairs(redis.call('LRANGE', KEYS[1], 0, -1)) do
  if string.match(entry, ' (%S+)$') == ARGV[3] then return 1 end
end
redis.call('LPUSH', KEYS[1], string.format('%.0f', now) .. ' ' .. ARGV[3])
redis.call('LTRIM', KEYS[1], 0, ARGV[1] - 1)
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return 1
