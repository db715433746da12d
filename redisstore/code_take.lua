-- Notes which session is made of an authorization code, unless one is noted.
--
-- KEYS[1]  the hash of code_put.lua
-- ARGV     1 session id  2 for how many ms a taken code is kept
-- Reply    the session id that is noted; '' if there is no such code
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local h = {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do h[flat[i]] = flat[i + 1] end
if not h.d or now >= tonumber(h.e) then return '' end
if h.s then return h.s end
local ends = string.format('%.0f', now + ARGV[2])
redis.call('HSET', KEYS[1], 's', ARGV[1], 'e', ends)
redis.call('PEXPIREAT', KEYS[1], ends)
return ARGV[1]
