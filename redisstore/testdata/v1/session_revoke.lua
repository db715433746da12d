-- Ends a session and leaves a tombstone, or only closes it for refreshing.
--
-- KEYS[1]  the session's hash
-- ARGV     1 attempt  2 reason  3 '1' to keep the access tokens
-- Reply    {field, value, ...} as it was before this attempt, empty if there is
--          no trace of it
local TOMBSTONE, CLOSED_KEEP = 86400000, 600000

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local keep = ARGV[3] == '1'

local h = {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do h[flat[i]] = flat[i + 1] end
if not h.g then return {} end

local function before()
  local r = {}
  for field, v in pairs(h) do
    r[#r + 1] = field
    r[#r + 1] = v
  end
  return r
end

if h.ra == ARGV[1] then
  h.rv, h.cl = nil, nil
  return before()
end
if h.rv or (h.cl and keep) then return before() end

local function int(n) return string.format('%.0f', n) end
local access = tonumber(h.ae)
if keep and now < access then
  redis.call('HSET', KEYS[1], 'cl', '1', 'ra', ARGV[1], 'e', int(math.min(tonumber(h.e), now)))
  redis.call('PEXPIREAT', KEYS[1], int(access + CLOSED_KEEP))
  return before()
end

-- A full server refuses to write a tombstone but not to delete.
local done = redis.pcall('HSET', KEYS[1], 'rv', ARGV[2], 'ra', ARGV[1])
if type(done) == 'table' and done.err then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIREAT', KEYS[1], int(now + TOMBSTONE))
end
return before()
