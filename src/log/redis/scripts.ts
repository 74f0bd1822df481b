/**
 * What Redis does in one step: Lua scripts over the keys of one session, all on one hash slot. Each checks everything
 * before its first write, since a script that fails half-way is not rolled back. A notification that Redis does not
 * publish, such as for a user without the right to the channel, fails no script: followers read the stream again anyway.
 *
 * `h` header (hash), `l` events (stream, entry `0-<seq>`), `k` keys taken (hash) and `x` when they expire (sorted set),
 * `r` leases (hash), `p` producers (hash), `s` snapshot (hash), `d` epoch of the last deletion (string), `m` marks by when
 * they end (sorted set), `o` what is open by tally (hash of JSON: a list of number, `=` and group or nothing, keys, and
 * size if there is one).
 */

import { ACTIVITY_MS } from '../activity.ts'
import { STRETCHES } from '../conditions.ts'

/** The keys of a session, in the order in which every script gets them. */
export const SESSION_KEYS = ['h', 'l', 'k', 'x', 'r', 'p', 's', 'd', 'm', 'o'] as const

/** The keys that an append without conditions needs. */
export const HEADER_AND_EVENTS = SESSION_KEYS.slice(0, 2)

/** How long it is remembered that a session was deleted and not lost, in s. */
const TOMBSTONE_S = 3600

/** Beginning of a script that a Redis above its `maxmemory` must carry out. */
export const ALLOW_OOM = '#!lua flags=allow-oom\n'

const prelude = `
local h, l, k, x, r, p, s, d, m, o = unpack(KEYS)
local at = 0
local function arg() at = at + 1 return ARGV[at] end
local function whole(n) return string.format('%.0f', n) end
local function time(given)
  if given ~= '' then return tonumber(given) end
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end
local function tell(channel, message) redis.pcall('PUBLISH', channel, message) end
local function seqOf(entry) return tonumber(string.match(entry[1], '-(%d+)$')) end
-- Head and earliest of whatever events are there: none, unless the header alone was lost.
local function remains()
  local last = redis.call('XREVRANGE', l, '+', '-', 'COUNT', 1)[1]
  local first = redis.call('XRANGE', l, '-', '+', 'COUNT', 1)[1]
  return last and seqOf(last) or 0, first and seqOf(first) or 1
end
local function put(epoch, now, metadata, creator)
  local head, earliest = remains()
  redis.call('HSET', h, 'epoch', epoch, 'head', whole(head), 'earliest', whole(earliest),
    'created', whole(now), 'active', whole(now), 'metadata', metadata)
  if creator ~= '' then redis.call('HSET', h, 'by', creator) end
end
`

/**
 * now, epoch to create with or '', creator or '', epoch that must be or '', node, channel, 1 when the log has no room or 0,
 * conditions as JSON or '', texts. The conditions are those of `AppendConditions` in `log.ts`, without those that are
 * arguments; notes and metadata are JSON texts, and a lease has `takenBy`, by when it must be taken. Without conditions
 * there are no other keys than the first two.
 */
const append = `
local now, fresh, creator, wanted, node, channel, over = time(arg()), arg(), arg(), arg(), arg(), arg(), arg()
local given = arg()
local conditions = given == '' and {} or cjson.decode(given)
local header = redis.call('HMGET', h, 'epoch', 'head', 'active', 'created')
local epoch, head, active = header[1], tonumber(header[2]), tonumber(header[3] or header[4])
local made = not epoch
if made then
  if fresh == '' then return {'session'} end
  epoch, head = fresh, remains()
elseif wanted ~= '' and wanted ~= epoch then
  return {'epoch', epoch}
end

local once, absent, leases = conditions.once or {}, conditions.absent or {}, conditions.leases or {}
local release, opens, metadata = conditions.release or {}, conditions.opens or {}, conditions.metadata
local producer, number = '', 0
if conditions.producer then producer, number = conditions.producer.id, conditions.producer.seq end
for _, one in ipairs(once) do one.index = one.index or 0 end
for _, opening in ipairs(opens) do
  opening.index, opening.size = opening.index or 0, opening.size or 0
  for _, limit in ipairs({'max', 'maxSize', 'maxInGroup'}) do
    -- JSON has no Infinity.
    if opening[limit] == cjson.null then opening[limit] = math.huge end
  end
end
local count = #ARGV - at

-- Of a producer: its next number, then pairs of its own number and the log's, with which a stretch in a row begins.
local skip, repeats, next, stretches = 0, 0, nil, {}
if producer ~= '' then
  local known = redis.call('HGET', p, producer)
  if known then
    next = tonumber(string.match(known, '^%d+'))
    for own, seq in string.gmatch(known, ' (%d+) (%d+)') do stretches[#stretches + 1] = { tonumber(own), tonumber(seq) } end
    skip = math.max(0, math.min(count, next - number))
    for _, stretch in ipairs(stretches) do
      if skip > 0 and stretch[1] <= number then repeats = stretch[2] + number - stretch[1] end
    end
  end
end
if skip > 0 and skip == count then return {'accepted', epoch, whole(repeats), whole(head), '0'} end

local function entry(key)
  local held = redis.call('HGET', k, key)
  if not held then return nil end
  local seq, expires, note = string.match(held, '^(%d+) (%S+) (.*)$')
  if expires ~= '-' and tonumber(expires) <= now then return nil end
  return {'key', epoch, key, seq, note}
end
local taken = {}
for _, one in ipairs(once) do
  if skip == 0 or one.index >= skip then
    if taken[one.key] then return {'key', epoch, one.key, '0', taken[one.key]} end
    local held = entry(one.key)
    if held then return held end
    taken[one.key] = one.note or ''
  end
end
for _, key in ipairs(absent) do
  local held = entry(key)
  if held then return held end
end
for _, lease in ipairs(leases) do
  local held = redis.call('HGET', r, lease.runId)
  if held then
    local expires, token = string.match(held, '^(%d+) (.*)$')
    local left = token == (lease.from or '') and (lease.fromLive or tonumber(expires) <= now)
    if token ~= lease.token and not left then return {'lease', epoch} end
  end
end
for _, lease in ipairs(leases) do
  -- The index may have been looked at since it was announced, and found nothing: nobody would look again.
  if now >= lease.takenBy then return {'unannounced', epoch} end
end
if producer ~= '' then
  local expected = next or math.min(number, 1)
  if number > expected then return {'producer', epoch, whole(expected)} end
end

local function seqAt(index) return count == 0 and 0 or head + 1 + index - skip end
-- What is open in each tally after the append, as JSON: see tally.ts.
local opened = {}
if #opens > 0 and count > 0 then
  local takings = {}
  for _, one in ipairs(once) do
    if skip == 0 or one.index >= skip then takings[#takings + 1] = { key = one.key, seq = seqAt(one.index) } end
  end
  table.sort(takings, function(a, b) return a.seq < b.seq end)
  local function add(tally, seq, group, keys, size)
    local one = { seq = seq, group = group, keys = keys, size = size }
    tally.open[one] = true
    tally.count = tally.count + 1
    tally.size = tally.size + size
    tally.groups[group] = (tally.groups[group] or 0) + 1
    for _, key in ipairs(keys) do
      tally.byKey[key] = tally.byKey[key] or {}
      table.insert(tally.byKey[key], one)
    end
  end
  local function takeThrough(tally, last)
    while tally.taken < #takings and takings[tally.taken + 1].seq <= last do
      tally.taken = tally.taken + 1
      local taking = takings[tally.taken]
      for _, one in ipairs(tally.byKey[taking.key] or {}) do
        if one.seq < taking.seq and tally.open[one] then
          tally.open[one] = nil
          tally.count = tally.count - 1
          tally.size = tally.size - one.size
          tally.groups[one.group] = tally.groups[one.group] - 1
        end
      end
    end
  end
  local function isClosed(seq, keys)
    for _, key in ipairs(keys) do
      local held = entry(key)
      if held and tonumber(held[4]) > seq then return true end
    end
    return false
  end
  local function read(name)
    local tally = { open = {}, count = 0, size = 0, groups = {}, byKey = {}, taken = 0 }
    local held = redis.call('HGET', o, name)
    for _, one in ipairs(held and cjson.decode(held) or {}) do
      local seq, group, keys, size = tonumber(one[1]), one[2], one[3], one[4] or 0
      if not isClosed(seq, keys) then add(tally, seq, group, keys, size) end
    end
    return tally
  end
  local tallies = {}
  for _, opening in ipairs(opens) do
    if skip == 0 or opening.index >= skip then
      local name, group, seq = opening.tally, opening.group and '=' .. opening.group or '', seqAt(opening.index)
      tallies[name] = tallies[name] or read(name)
      local tally = tallies[name]
      takeThrough(tally, seq)
      if tally.count >= opening.max then return {'open', epoch, name, whole(opening.max)} end
      if opening.maxSize and tally.size + opening.size > opening.maxSize then
        return {'open', epoch, name, whole(opening.maxSize), 'size'}
      end
      if group ~= '' and opening.maxInGroup and (tally.groups[group] or 0) >= opening.maxInGroup then
        return {'open', epoch, name, whole(opening.maxInGroup), group}
      end
      add(tally, seq, group, opening['until'], opening.size)
    end
  end
  for name, tally in pairs(tallies) do
    takeThrough(tally, math.huge)
    local list = {}
    for one in pairs(tally.open) do 
      list[#list + 1] = { whole(one.seq), one.group, one.keys, one.size > 0 and one.size or nil }
    end
    opened[name] = cjson.encode(list)
  end
end

if metadata and (redis.call('HGET', h, 'metadata') or '{}') ~= metadata.from then return {'metadata', epoch} end

if over == '1' and (count > skip or #once > 0) then return {'over-limit'} end

-- Nothing is refused from here on.
if made then put(fresh, now, '{}', creator) end
if metadata then redis.call('HSET', h, 'metadata', metadata.to) end
local brief = 0
for _, one in ipairs(once) do if one.ttlMs then brief = brief + 1 end end
if brief > 0 then
  -- Twice as many as are taken, so that expired ones do not gather.
  local over = redis.call('ZRANGEBYSCORE', x, '-inf', whole(now), 'LIMIT', 0, 2 * brief)
  for _, key in ipairs(over) do
    redis.call('HDEL', k, key)
    redis.call('ZREM', x, key)
  end
end
for _, one in ipairs(once) do
  if skip == 0 or one.index >= skip then
    local expires = one.ttlMs and whole(now + one.ttlMs) or '-'
    redis.call('HSET', k, one.key, whole(seqAt(one.index)) .. ' ' .. expires .. ' ' .. (one.note or ''))
    if one.ttlMs then redis.call('ZADD', x, expires, one.key) else redis.call('ZREM', x, one.key) end
  end
end
for _, lease in ipairs(leases) do
  redis.call('HSET', r, lease.runId, whole(now + lease.ttlMs) .. ' ' .. lease.token)
end
for _, run in ipairs(release) do redis.call('HDEL', r, run) end
local first = skip > 0 and repeats or head + 1
if producer ~= '' and count > 0 then
  local own, seq, last = number + skip, head + 1, stretches[#stretches]
  if not (last and next == own and last[2] + own - last[1] == seq) then stretches[#stretches + 1] = { own, seq } end
  local held = whole(number + count)
  for i = math.max(1, #stretches - ${STRETCHES - 1}), #stretches do
    held = held .. ' ' .. whole(stretches[i][1]) .. ' ' .. whole(stretches[i][2])
  end
  redis.call('HSET', p, producer, held)
end
for name, json in pairs(opened) do redis.call('HSET', o, name, json) end
if count > skip then
  for i = at + 1 + skip, #ARGV do
    head = head + 1
    redis.call('XADD', l, '0-' .. whole(head), 'e', ARGV[i])
  end
  redis.call('HSET', h, 'head', whole(head))
  tell(channel, 'e ' .. node .. ' ' .. epoch .. ' ' .. whole(head))
end
local moved = ''
if made or (count > skip and now - active >= ${ACTIVITY_MS}) then
  moved = whole(now)
  redis.call('HSET', h, 'active', moved)
end
-- One string is read faster than a list.
return table.concat({'accepted', epoch, whole(first), whole(head), whole(count - skip), moved}, ' ')
`

/** now, epoch, metadata, creator or ''. Gives 1 and the header when it was made, 0 and the header otherwise. */
const create = `
local now, epoch, metadata, creator = time(arg()), arg(), arg(), arg()
local made = redis.call('EXISTS', h) == 0
if made then put(epoch, now, metadata, creator) end
return {made and 1 or 0, redis.call('HMGET', h, 'epoch', 'head', 'earliest', 'created', 'metadata', 'by', 'active')}
`

/**
 * epoch, earliest, created, metadata, creator or '', number and state of the snapshot or ''. Gives 1 when the session was
 * made. What a lost session left behind goes.
 */
const restore = `
local epoch, earliest, created, metadata, creator, seq, state = arg(), arg(), arg(), arg(), arg(), arg(), arg()
if redis.call('EXISTS', h) == 1 then return 0 end
redis.call('UNLINK', l, k, x, r, p, s, d, m, o)
redis.call('HSET', h, 'epoch', epoch, 'head', whole(earliest - 1), 'earliest', earliest, 'created', created,
  'active', created, 'metadata', metadata)
if creator ~= '' then redis.call('HSET', h, 'by', creator) end
if seq ~= '' then redis.call('HSET', s, 'epoch', epoch, 'seq', seq, 'state', state) end
return 1
`

/** epoch, active, then for each record: its hash (k, r, p or o), name, value, and when it expires or ''. */
const restoreRecords = `
local epoch, active = arg(), arg()
if redis.call('HGET', h, 'epoch') ~= epoch then return 0 end
redis.call('HSET', h, 'active', active)
local hashes = { k = k, r = r, p = p, o = o }
while at < #ARGV do
  local hash, name, value, expires = hashes[arg()], arg(), arg(), arg()
  redis.call('HSET', hash, name, value)
  if expires ~= '' then redis.call('ZADD', x, expires, name) end
end
return 1
`

/** after, events, bytes, through or ''. Gives the header and the texts. */
const read = `
local after, most, bytes, through = tonumber(arg()), tonumber(arg()), tonumber(arg()), arg()
local header = redis.call('HMGET', h, 'epoch', 'head', 'earliest')
if not header[1] then return {} end
local texts, size = {}, 0
local from = math.max(after + 1, tonumber(header[3]))
local last = tonumber(header[2])
if through ~= '' then last = math.min(last, tonumber(through)) end
while from <= last do
  local chunk = math.min(math.max(most - #texts, 1), 64)
  local entries = redis.call('XRANGE', l, '0-' .. whole(from), '0-' .. whole(last), 'COUNT', chunk)
  for _, one in ipairs(entries) do
    local text = one[2][2]
    size = size + #text
    if #texts > 0 and (size > bytes or #texts >= most) then return {header, texts} end
    texts[#texts + 1] = text
  end
  if #entries < chunk then break end
  from = from + #entries
end
return {header, texts}
`

/** epoch, seq, state. */
const saveSnapshot = `
local epoch, seq, state = arg(), arg(), arg()
if redis.call('HGET', h, 'epoch') ~= epoch then return 0 end
local held = redis.call('HMGET', s, 'epoch', 'seq')
if held[1] == epoch and tonumber(seq) < tonumber(held[2]) then return 0 end
redis.call('HSET', s, 'epoch', epoch, 'seq', seq, 'state', state)
return 1
`

/** epoch, through, seq and state of the snapshot. */
const trim = `
local epoch, through, seq, state = arg(), tonumber(arg()), arg(), arg()
local header = redis.call('HMGET', h, 'epoch', 'head', 'earliest')
if header[1] ~= epoch then return 0 end
through = math.min(through, tonumber(header[2]))
if through < tonumber(header[3]) then return 0 end
redis.call('HSET', h, 'earliest', whole(through + 1))
local held = redis.call('HMGET', s, 'epoch', 'seq')
if held[1] ~= epoch or tonumber(seq) >= tonumber(held[2]) then
  redis.call('HSET', s, 'epoch', epoch, 'seq', seq, 'state', state)
end
redis.call('XTRIM', l, 'MINID', '=', '0-' .. whole(through + 1))
return 1
`

/** node, channel. Frees everything but the mark that it was deleted. */
const remove = `
local node, channel = arg(), arg()
local epoch = redis.call('HGET', h, 'epoch')
if not epoch then return 0 end
redis.call('SET', d, epoch, 'EX', ${TOMBSTONE_S})
redis.call('UNLINK', h, l, k, x, r, p, s, m, o)
tell(channel, 'd ' .. node .. ' ' .. epoch)
return 1
`

/** now, runId, token, ttl. */
const renew = `
local now, run, token, ttl = time(arg()), arg(), arg(), tonumber(arg())
local held = redis.call('HGET', r, run)
if not held or string.match(held, '^%d+ (.*)$') ~= token then return 0 end
redis.call('HSET', r, run, whole(now + ttl) .. ' ' .. token)
return 1
`

/** now, name, ttl or 0, channel. The key goes with the last of its marks. */
const mark = `
local now, name, ttl, channel = time(arg()), arg(), tonumber(arg()), arg()
if redis.call('EXISTS', h) == 0 then return 0 end
redis.call('ZREMRANGEBYSCORE', m, '-inf', whole(now))
if ttl > 0 then redis.call('ZADD', m, whole(now + ttl), name) else redis.call('ZREM', m, name) end
local last = redis.call('ZREVRANGE', m, 0, 0, 'WITHSCORES')[2]
if last then redis.call('PEXPIRE', m, whole(last - now)) end
tell(channel, 'm ' .. whole(ttl) .. ' ' .. name)
return 1
`

/** now, prefix. Gives the names of the marks that begin with it, each with how long it lasts. */
const marks = `
local now, prefix = time(arg()), arg()
local held = redis.call('ZRANGEBYSCORE', m, '(' .. whole(now), '+inf', 'WITHSCORES')
local found = {}
for i = 1, #held, 2 do
  if string.sub(held[i], 1, #prefix) == prefix then
    found[#found + 1] = held[i]
    found[#found + 1] = whole(held[i + 1] - now)
  end
end
return found
`

/**
 * now, node, channel, new epoch, epoch and head that were known, the known text at that head or ''. Gives the log a new
 * epoch if it is not the known one any more; of many that ask, one does. A deleted session stays deleted.
 */
const lost = `
local now, node, channel, fresh, epoch, head, text = time(arg()), arg(), arg(), arg(), arg(), tonumber(arg()), arg()
local header = redis.call('HMGET', h, 'epoch', 'head')
if not header[1] then
  if tonumber(redis.call('GET', d) or 0) >= tonumber(epoch) then return {'deleted'} end
  put(fresh, now, '{}', '')
elseif header[1] ~= epoch then
  if tonumber(redis.call('GET', d) or 0) >= tonumber(epoch) then return {'deleted'} end
  return {'lost', redis.call('HMGET', h, 'epoch', 'head', 'earliest', 'active')}
else
  local same = tonumber(header[2]) >= head
  if same and head > 0 and text ~= '' then
    local found = redis.call('XRANGE', l, '0-' .. whole(head), '0-' .. whole(head))[1]
    same = not found or found[2][2] == text
  end
  if same then return {'same'} end
  redis.call('HSET', h, 'epoch', fresh)
end
redis.call('DEL', s)
tell(channel, 'r ' .. node .. ' ' .. fresh)
return {'lost', redis.call('HMGET', h, 'epoch', 'head', 'earliest', 'active')}
`

/** Scripts that free memory, or write as much as was there before: a Redis above its `maxmemory` carries them out. */
const allowedWhenFull: ReadonlySet<string> = new Set(['trim', 'remove', 'renew', 'mark', 'lost'])

/** Scripts over the keys of one session, as {@link SESSION_KEYS} has them. */
export const sessionScripts = withPrelude({
  append,
  create,
  restore,
  restoreRecords,
  read,
  saveSnapshot,
  trim,
  remove,
  renew,
  mark,
  marks,
  lost,
})

function withPrelude<T extends Record<string, string>>(scripts: T): T {
  return Object.fromEntries(
    Object.entries(scripts).map(([name, lua]) => [
      name,
      (allowedWhenFull.has(name) ? ALLOW_OOM : '') + prelude + lua,
    ]),
  ) as T
}
