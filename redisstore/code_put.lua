-- Keeps an authorization code. A repeat changes nothing.
--
-- KEYS[1]  the code's hash
-- ARGV     1 unchanging data, JSON  2 for how many ms
-- Reply    1
--
-- Fields: d data, m when it was made and e its end in ms, s the session made of it.
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
if redis.call('EXISTS', KEYS[1]) == 0 then
  local ends = string.format('%.0f', now + ARGV[2])
  redis.call('HSET', KEYS[1], 'd', ARGV[1], 'm', string.format('%.0f', now), 'e', ends)
  redis.call('PEXPIREAT', KEYS[1], ends)
end
return 1
