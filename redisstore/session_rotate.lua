-- Trades a refresh token of generation p for its successor. The tests run in
-- this order: missing, attempt id, revoked, expired, client, generation.
--
-- KEYS[1]  the session's hash
-- ARGV     1 attempt  2 p  3 client id  4 '1' if the generation moves on
--          5 grace, ms  6 '1' to refuse reuse without revoking
--          7 idle life, ms  8 life of the access token, ms, 0 for none
--          9 how long the ended record stays readable, ms  10 version of the
--          record, and the newest that may be changed  11 the session's id
-- Reply    {outcome, now, generation, made, field, value, ...}; for an attempt
--          that was answered before, that answer's outcome, now, generation and made
local AHEAD, MAX, TOMBSTONE = 8, 16777215, 86400000

local t = redis.call('TIME')
local now = t[1] * 1000 + math.floor(t[2] / 1000)
local attempt, p, grace = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[5])
local rotates, refuse = ARGV[4] == '1', ARGV[6] == '1'

local h = {}
local flat = redis.call('HGETALL', KEYS[1])
for i = 1, #flat, 2 do h[flat[i]] = flat[i + 1] end
if not h.g then return {'gone', now, 0, 0} end
if tonumber(h.v or '1') > tonumber(ARGV[10]) then return {'newer', now, 0, 0} end

local function int(n) return string.format('%.0f', n) end

local function reply(outcome, g, made, at)
  local r = {outcome, at, g, made}
  for field, v in pairs(h) do
    r[#r + 1] = field
    r[#r + 1] = v
  end
  return r
end

for _, field in ipairs({'r0', 'r1', 'r2', 'r3', 'x'}) do
  local a, outcome, g, made, at = string.match(h[field] or '', '^(%S+) (%S+) (%d+) (%d+) (%d+)$')
  if a == attempt then return reply(outcome, tonumber(g), tonumber(made), tonumber(at)) end
end

local g, made = tonumber(h.g), math.min(tonumber(h.m), now)
if h.rv or h.cl then return reply('gone', g, made, now) end
if now >= tonumber(h.e) then return reply('expired', g, made, now) end
if h.k ~= ARGV[3] or p > g + AHEAD then return reply('refused', g, made, now) end

local function write(fields)
  local args = {}
  for field, v in pairs(fields) do
    h[field] = v
    args[#args + 1] = field
    args[#args + 1] = v
  end
  return redis.pcall('HSET', KEYS[1], unpack(args))
end

local function note(outcome, gen, m)
  return attempt .. ' ' .. outcome .. ' ' .. int(gen) .. ' ' .. int(m) .. ' ' .. int(now)
end

-- A full server refuses to write a tombstone but not to delete.
local function revoke(reason, outcome)
  local done = write({rv = reason, x = note(outcome, g, made)})
  if type(done) == 'table' and done.err then
    redis.call('DEL', KEYS[1])
  else
    redis.call('PEXPIREAT', KEYS[1], int(now + TOMBSTONE))
  end
  return reply(outcome, g, made, now)
end

if p < g then
  if p >= tonumber(h.gf) and now - made < grace then
    write({x = note('grace', g, made)}) -- a full server does not spoil the answer
    return reply('grace', g, made, now)
  end
  if refuse then return reply('reused', g, made, now) end
  return revoke('reuse', 'reused')
end

local outcome, new = 'rotated', p
if p > g then outcome = 'healed' end
if rotates then new = p + 1 end
if new > MAX then return revoke('revoked', 'ended') end

local ends, access = now + ARGV[7], 0
if tonumber(ARGV[8]) > 0 then access = now + ARGV[8] end
local done = write({
  g = int(new), gf = int(g), m = int(now), e = int(ends), ae = int(access), v = ARGV[10], i = ARGV[11],
  ['r' .. int(new % 4)] = note(outcome, new, now),
})
if type(done) == 'table' and done.err then return done end
redis.call('PEXPIREAT', KEYS[1], int(math.max(ends, access) + ARGV[9]))
return reply(outcome, new, now, now)
