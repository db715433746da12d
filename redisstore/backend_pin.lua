-- Notes whether something is pinned to the tokens of a backend session. It is idempotent by nature.
-- KEYS  backend session [, the client session that owns it]
-- ARGV  pinned (1, 0)
-- Gives as backend_acquire.lua: done, dead without tokens, or gone
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local f = redis.call('HMGET', KEYS[1], 'access', 'state', 'opening')
local bare = function(state) return {state, 0, '', '', 0, 0, 0, 0, 0} end

if KEYS[2] then
  -- The session's ends and reason of its end: see session_create.lua.
  local s = redis.call('HMGET', KEYS[2], 'e', 'ae', 'rv')
  local ends = math.max(tonumber(s[1] or '0'), tonumber(s[2] or '0'))
  if not s[1] then ends = tonumber(f[3] or '0') end
  if s[3] or f[2] == 'ended' or ends <= now then return bare('gone') end
end
if not f[1] then return bare('dead') end
if ARGV[1] == '1' then
  redis.call('HSET', KEYS[1], 'pin', '1')
else
  redis.call('HDEL', KEYS[1], 'pin')
end
return bare('done')
