-- Reads an authorization code.
--
-- KEYS[1]  the hash of code_put.lua
-- Reply    {data, the session made of it or '', when it was made in ms, 0 if a
--          former release made it}; {} if there is no such code
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local h = {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do h[flat[i]] = flat[i + 1] end
if not h.d or now >= tonumber(h.e) then return {} end
return {h.d, h.s or '', h.m or '0'}
