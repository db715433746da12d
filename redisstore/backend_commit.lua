-- Stores new tokens, if the version before them is the one stored.
-- KEYS  backend session [, the client session that owns it]
-- ARGV  attempt, holder, new version, access, refresh, ms left, ms of life, ms for opening (0: the session exists),
--       ms kept beside the session, ms an account's record is kept, ms kept while the session is still to be opened
-- Gives as backend_acquire.lua: done, gone, fresh with what has been stored after these tokens, or stale with what is
-- stored in their place
local KEPT = 4

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local f = redis.call('HMGET', KEYS[1], 'v', 'access', 'refresh', 'exp', 'life', 'commit', 'state', 'holder', 'opening', 'pin')
local n = function(i) return tonumber(f[i] or '0') end
local ms = function(x) return string.format('%.0f', x) end
local stored = function(state)
  local left = 0
  if n(5) > 0 then left = n(4) - now end
  return {state, n(1), f[2] or '', f[3] or '', left, n(5), 0, 0, n(10)}
end

-- The last attempts that were taken, the newest first: one that is repeated late must not be told that it lost.
local taken = {ARGV[1]}
for a in string.gmatch(f[6] or '', '%S+') do
  if a == ARGV[1] then
    if #taken == 1 then return {'done', n(1), '', '', 0, 0, 0, 0, 0} end
    return stored('fresh')
  end
  if #taken < KEPT then taken[#taken + 1] = a end
end

local opening, keep, ttl = tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10])
if KEYS[2] then
  -- The session's ends and reason of its end: see session_create.lua.
  local s = redis.call('HMGET', KEYS[2], 'e', 'ae', 'rv')
  local ends = math.max(tonumber(s[1] or '0'), tonumber(s[2] or '0'))
  if not s[1] then
    ends = n(9)
    if n(1) == 0 then ends = now + opening end
  end
  if s[3] or f[7] == 'ended' or ends <= now then return {'gone', 0, '', '', 0, 0, 0, 0, 0} end
  ttl = ends - now + keep
  if not s[1] then ttl = math.max(ttl, tonumber(ARGV[11])) end
end
if n(1) + 1 ~= tonumber(ARGV[3]) then
  return stored('stale')
end

local exp = 0
if tonumber(ARGV[7]) > 0 then exp = now + tonumber(ARGV[6]) end
redis.call('HSET', KEYS[1], 'v', ARGV[3], 'access', ARGV[4], 'refresh', ARGV[5], 'exp', ms(exp), 'life', ARGV[7],
  'commit', table.concat(taken, ' '), 'state', 'live')
redis.call('HDEL', KEYS[1], 'fails', 'nb', 'try1', 'try2', 'try', 'doubt')
if f[8] == ARGV[2] then redis.call('HDEL', KEYS[1], 'holder', 'lease', 'call') end
if KEYS[2] and opening > 0 then redis.call('HSET', KEYS[1], 'opening', ms(now + opening)) end
redis.call('PEXPIRE', KEYS[1], ms(ttl))
return {'done', tonumber(ARGV[3]), '', '', 0, 0, 0, 0, 0}
