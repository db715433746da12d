-- Ends a session and leaves a tombstone, or only closes it for refreshing. It does
-- so whatever release wrote the record: an end must not wait for an upgrade.
--
-- KEYS[1]  the session's hash
-- ARGV     1 attempt  2 reason  3 '1' to keep the access tokens, unless the
--          server is full
-- Reply    {field, value, ...} as it was before this attempt, empty if there is
--          no trace of it
local TOMBSTONE, CLOSED_KEEP = 86400000, 600000

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local keep = ARGV[3] == '1'

local h = {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do h[flat[i]] = flat[i + 1] end
if #flat == 0 then return {} end

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
local done, keepTill
local access = tonumber(h.ae or '0')
if keep and now < access then
  done = redis.pcall('HSET', KEYS[1], 'cl', '1', 'ra', ARGV[1], 'e', int(math.min(tonumber(h.e), now)))
  keepTill = access + CLOSED_KEEP
else
  done = redis.pcall('HSET', KEYS[1], 'rv', ARGV[2], 'ra', ARGV[1])
  keepTill = now + TOMBSTONE
end

-- A full server refuses to write a tombstone but not to delete.
if type(done) == 'table' and done.err then
  redis.call('DEL', KEYS[1])
else
  redis.call('PEXPIREAT', KEYS[1], int(keepTill))
end
return before()
