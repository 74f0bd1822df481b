/** What Redis does in one step beyond a session: Lua scripts over one key that serves all of them. */
import { ALLOW_OOM } from './scripts.ts'

export const globalScripts = {
  /** now or '', least epoch. Gives an epoch that this store never gave. */
  giveEpoch: `${ALLOW_OOM}
local now, least = ARGV[1], tonumber(ARGV[2])
if now == '' then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local epoch = math.max(tonumber(now), least, tonumber(redis.call('GET', KEYS[1]) or 0) + 1)
redis.call('SET', KEYS[1], string.format('%.0f', epoch))
return string.format('%.0f', epoch)
`,
  /**
   * member, ms until it is to be looked at, now or ''. Sooner if it was due sooner; never the same score again. Gives by when
   * the lease must be taken: before it is looked at. An entry that is due already is of a lease that ran out, so looking
   * at it finds that lease and keeps the entry.
   */
  touch: `${ALLOW_OOM}
local now = ARGV[3]
if now == '' then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
local due = tonumber(now) + ARGV[2]
local held = tonumber(redis.call('ZSCORE', KEYS[1], ARGV[1]) or 'inf')
local at = math.min(held - 0.001, due)
redis.call('ZADD', KEYS[1], string.format('%.3f', at), ARGV[1])
return string.format('%.3f', held > tonumber(now) and at or due)
`,
  /** node. Writes something, to prove that Redis takes appends. */
  probe: `
redis.call('SET', KEYS[1], ARGV[1], 'PX', 60000)
return 1
`,
  /** member, score that was seen, true score or ''. Does nothing when somebody touched it meanwhile. */
  settle: `${ALLOW_OOM}
local held = redis.call('ZSCORE', KEYS[1], ARGV[1])
if held ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('ZREM', KEYS[1], ARGV[1]) else redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1]) end
return 1
`,
  /** now or '', cost, tokens per second, burst. Gives what is left in the bucket, which is gone once it is full. */
  spend: `
local now, cost, rate, burst = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if now == '' then
  local t = redis.call('TIME')
  now = t[1] * 1000 + t[2] / 1000
end
local held = redis.call('HMGET', KEYS[1], 'left', 'at')
local left = burst
if held[1] then left = math.min(burst, held[1] + math.max(0, now - held[2]) / 1000 * rate) end
left = left - cost
redis.call('HSET', KEYS[1], 'left', string.format('%.6f', left), 'at', string.format('%.3f', now))
redis.call('PEXPIRE', KEYS[1], string.format('%.0f', math.min(math.ceil((burst - left) / rate * 1000) + 1, 86400000)))
return string.format('%.6f', left)
`,
  /** now or '', node, ttl in ms, counts separated by blanks. Gives the sums of the other nodes' counts. */
  hold: `
local now, node, ttl, counts = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
if now == '' then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
now = tonumber(now)
local sums = {}
for _ in string.gmatch(counts, '%d+') do sums[#sums + 1] = 0 end
local held = redis.call('HGETALL', KEYS[1])
for i = 1, #held, 2 do
  local until_, others = string.match(held[i + 1], '^(%d+) (.*)$')
  if tonumber(until_) <= now then redis.call('HDEL', KEYS[1], held[i])
  elseif held[i] ~= node then
    local at = 0
    for count in string.gmatch(others, '%d+') do
      at = at + 1
      sums[at] = (sums[at] or 0) + count
    end
  end
end
if string.find(counts, '[1-9]') then
  redis.call('HSET', KEYS[1], node, string.format('%.0f', now + ttl) .. ' ' .. counts)
  redis.call('PEXPIRE', KEYS[1], ttl)
else redis.call('HDEL', KEYS[1], node) end
return sums
`,
  /** member, now or ''. Adds a member that is missing, for a session that is about to be created. */
  enter: `${ALLOW_OOM}
local now = ARGV[2]
if now == '' then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
redis.call('ZADD', KEYS[1], 'NX', string.format('%.0f', -now), ARGV[1])
return 1
`,
  /** score and member to begin behind or '', limit. Gives the members behind it with their scores, lowest score first. */
  behind: `
local least, member, limit = ARGV[1], ARGV[2], tonumber(ARGV[3])
local found, at = {}, 0
while #found < 2 * limit do
  local chunk = redis.call('ZRANGEBYSCORE', KEYS[1], least, '+inf', 'WITHSCORES', 'LIMIT', at, limit)
  for i = 1, #chunk, 2 do
    local isBehind = member == '' or tonumber(chunk[i + 1]) > tonumber(least) or chunk[i] > member
    if isBehind and #found < 2 * limit then
      found[#found + 1] = chunk[i]
      found[#found + 1] = chunk[i + 1]
    end
  end
  if #chunk < 2 * limit then break end
  at = at + limit
end
return found
`,
  /** limit, now or ''. Gives the members that are due with their scores, and now. */
  due: `
local now = ARGV[2]
if now == '' then
  local t = redis.call('TIME')
  now = t[1] * 1000 + math.floor(t[2] / 1000)
end
now = string.format('%.0f', now)
return {now, redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'WITHSCORES', 'LIMIT', 0, ARGV[1])}
`,
} as const
