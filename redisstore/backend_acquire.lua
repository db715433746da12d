-- Asks for tokens newer than a version, or for the lease to get them.
-- KEYS  backend session [, the client session that owns it]
-- ARGV  holder, version seen, lease ms (0: only look), longest believed back off ms, ms an account's record is kept,
--       digest of where and as whom it would log in, whether it can log in for a session (1, 0)
-- Gives {state, version, access, refresh, ms left, ms of life, failures, ms to wait, pinned (1, 0)}
local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local f = redis.call('HMGET', KEYS[1], 'v', 'access', 'refresh', 'exp', 'life', 'fails',
  'state', 'holder', 'lease', 'nb', 'opening', 'nbwith', 'pin')
local n = function(i) return tonumber(f[i] or '0') end
local answer = function(state, wait)
  local left = 0
  if n(5) > 0 then left = n(4) - now end
  return {state, n(1), f[2] or '', f[3] or '', left, n(5), n(6), wait, n(13)}
end
local bare = function(state, wait) return {state, 0, '', '', 0, 0, 0, wait, 0} end

if KEYS[2] then
  -- The session's ends and reason of its end: see session_create.lua.
  local s = redis.call('HMGET', KEYS[2], 'e', 'ae', 'rv')
  local ends = math.max(tonumber(s[1] or '0'), tonumber(s[2] or '0'))
  if not s[1] then ends = n(11) end
  if s[3] or ends <= now then return bare('gone', 0) end
  if f[7] == 'ended' then return bare('dead', 0) end
  if ARGV[7] == '0' and (f[7] == 'dead' or not f[2]) then return bare('dead', 0) end
end
if f[2] and n(1) > tonumber(ARGV[2]) then return answer('fresh', 0) end

local mine = f[8] == ARGV[1]
local lease = tonumber(ARGV[3])
if lease == 0 then return bare('dead', 0) end
if f[8] and not mine and n(9) > now and n(9) <= now + lease then return bare('wait', n(9) - now) end
if not mine and (f[12] or '') == ARGV[6] and n(10) > now and n(10) <= now + tonumber(ARGV[4]) then return bare('backoff', n(10) - now) end
redis.call('HSET', KEYS[1], 'holder', ARGV[1], 'lease', string.format('%.0f', now + lease))
if not KEYS[2] then redis.call('PEXPIRE', KEYS[1], ARGV[5]) end
return answer('lead', 0)
