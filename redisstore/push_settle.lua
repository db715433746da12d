-- Moves a request for approval on, if it has not ended.
--
-- KEYS[1]  its hash, of push_open.lua
-- KEYS[2]  sorted set of those that are pending
-- ARGV     1 attempt  2 id  3 status it must have  4 status it gets
-- Reply    1, or 0 if nothing was changed
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)

local v = redis.call('HMGET', KEYS[1], 'st', 'e', 'a:' .. ARGV[4])
if v[3] == ARGV[1] then return 1 end
if v[1] ~= ARGV[3] or now >= tonumber(v[2]) then return 0 end
redis.call('HSET', KEYS[1], 'st', ARGV[4], 'a:' .. ARGV[4], ARGV[1])
redis.call('ZREM', KEYS[2], ARGV[2])
return 1
