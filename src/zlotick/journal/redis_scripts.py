"""The Lua scripts of the Redis journal. Each is carried out as a whole or not at all, also in a truncated AOF.

What a role writes checks the token of its lease first: a node that was frozen and believes that it still holds the
role is refused (``FENCED``). Keys, in this order: see the constants beside each script.
"""

from __future__ import annotations

from zlotick.redis.engine import Script

LOG, META, LAST = "log", "meta", "last"
CURSORS, LOST = "cursors", "lost"
DEAD, DEAD_ORDER, DEAD_COUNT = "dead", "dead:order", "dead:count"
REJECTED = "rejected"

_HELD = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return redis.error_reply('FENCED another node may hold ' .. KEYS[1])
end
"""
_RUN = "local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')\n"

CHECK = Script(
    _RUN
    + """
local epoch, offset, known = unpack(redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'run_id'))
local fresh, lossless, mine, reached = ARGV[1], ARGV[2] == '1', ARGV[3], tonumber(ARGV[4])
local ahead = epoch and epoch == mine and reached > tonumber(offset)
if not epoch then
  redis.call('HSET', KEYS[1], 'epoch', fresh, 'offset', 0, 'run_id', run)
elseif ahead or (known ~= run and not lossless) then
  redis.call('HSET', KEYS[1], 'epoch', fresh, 'run_id', run)
elseif known ~= run then
  redis.call('HSET', KEYS[1], 'run_id', run)
end
return redis.call('HMGET', KEYS[1], 'epoch', 'offset', 'run_id')
"""
)
"""META. Begins a new epoch where loss cannot be excluded: in an empty server, after a restart of one that does not
sync every write, and when the caller (its epoch and offset) remembers more than is there."""

APPEND = Script(
    _HELD
    + _RUN
    + """
local epoch, offset = unpack(redis.call('HMGET', KEYS[2], 'epoch', 'offset', 'run_id'))
if redis.call('HGET', KEYS[2], 'run_id') ~= run then return redis.error_reply('EPOCH the server was restarted') end
if epoch ~= ARGV[2] then return redis.error_reply('EPOCH another epoch began') end
if tonumber(offset) ~= tonumber(ARGV[3]) - 1 then return redis.error_reply('EPOCH the journal ends at ' .. offset) end
redis.call('XADD', KEYS[3], ARGV[3] .. '-0', 'b', ARGV[5], 'at', ARGV[4], 't', ARGV[1], 'e', epoch)
redis.call('HSET', KEYS[2], 'offset', ARGV[3])
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1]) end
return ARGV[3]
"""
)
"""Lease, META, LOG, LAST; token, epoch, offset, time, batch, then symbol and quote by turns."""

CURSOR = Script(
    """
local offset = redis.call('HGET', KEYS[2], ARGV[2])
if offset then return tonumber(offset) end
"""
    + _HELD
    + "redis.call('HSET', KEYS[2], ARGV[2], 0) return 0"
)
"""Lease, CURSORS; token, reader."""

MOVE = Script(
    _HELD
    + """
local last, limit = tonumber(redis.call('HGET', KEYS[3], 'offset')), tonumber(ARGV[4])
local cursor = redis.call('HGET', KEYS[2], ARGV[2])
if tonumber(ARGV[3]) > last then return {-1, last} end
if not cursor then return {-2, 0} end
if tonumber(ARGV[3]) > tonumber(cursor) then redis.call('HSET', KEYS[2], ARGV[2], ARGV[3]) end
for i = 5, #ARGV, 2 do
  if redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1]) == 1 then
    redis.call('ZADD', KEYS[5], redis.call('HINCRBY', KEYS[3], 'dead', 1), ARGV[i])
    redis.call('HINCRBY', KEYS[6], ARGV[2], 1)
  end
end
local excess = redis.call('HLEN', KEYS[4]) - limit
if excess <= 0 then return {0, 0} end
for _, name in ipairs(redis.call('ZPOPMIN', KEYS[5], excess)) do
  if redis.call('HDEL', KEYS[4], name) == 1 then
    redis.call('HINCRBY', KEYS[6], cjson.decode(name)[1], -1)
  end
end
redis.call('HINCRBY', KEYS[3], 'lost_dead_letters', excess)
return {0, excess}
"""
)
"""Lease, CURSORS, META, DEAD, DEAD_ORDER, DEAD_COUNT; token, reader, offset, most letters, then name and letter by
turns. ZPOPMIN gives members and scores by turns; a score is no name, so deleting it does nothing."""

REWIND = Script(
    _HELD
    + """
local cursor = redis.call('HGET', KEYS[2], ARGV[2])
if cursor and tonumber(ARGV[3]) < tonumber(cursor) then redis.call('HSET', KEYS[2], ARGV[2], ARGV[3]) end
return 1
"""
)
"""Lease, CURSORS; token, reader, offset."""

FORGET = Script(_HELD + "redis.call('HDEL', KEYS[3], ARGV[2]) return redis.call('HDEL', KEYS[2], ARGV[2])")
"""Lease, CURSORS, LOST; token, reader."""

REMOVE = Script(
    _HELD
    + """
for i = 2, #ARGV do
  if redis.call('HDEL', KEYS[2], ARGV[i]) == 1 then
    redis.call('ZREM', KEYS[3], ARGV[i])
    redis.call('HINCRBY', KEYS[4], cjson.decode(ARGV[i])[1], -1)
  end
end
return 1
"""
)
"""Lease, DEAD, DEAD_ORDER, DEAD_COUNT; token, then names of letters."""

REJECT = Script(
    _HELD
    + """
for i = 3, #ARGV do redis.call('LPUSH', KEYS[2], ARGV[i]) end
redis.call('LTRIM', KEYS[2], 0, tonumber(ARGV[2]) - 1)
return 1
"""
)
"""Lease, REJECTED; token, how many are kept, then the quotes."""

RETAIN = Script(
    _HELD
    + """
local step, length = tonumber(ARGV[5]), redis.call('XLEN', KEYS[2])
if length == 0 then return {0} end
local oldest = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)[1][1]
local first = tonumber(string.match(oldest, '%d+'))
local size = redis.call('MEMORY', 'USAGE', KEYS[2], 'SAMPLES', 16)
local function weighing(limit)
  local count = math.ceil((size - tonumber(limit)) * length / size)
  return first - 1 + math.max(0, math.min(count, step, length))
end
local aged = first - 1
for _, entry in ipairs(redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', step)) do
  local at
  for i = 1, #entry[2], 2 do if entry[2][i] == 'at' then at = tonumber(entry[2][i + 1]) end end
  if at >= tonumber(ARGV[2]) then break end
  aged = tonumber(string.match(entry[1], '%d+'))
end
local cursors = redis.call('HGETALL', KEYS[3])
local slowest = math.huge
for i = 2, #cursors, 2 do slowest = math.min(slowest, tonumber(cursors[i])) end
local last = math.max(math.min(math.max(aged, weighing(ARGV[3])), slowest), weighing(ARGV[4]))
if last < first then return {0} end
local reply = {last - first + 1}
for i = 1, #cursors, 2 do
  local lost = last - math.max(tonumber(cursors[i + 1]), first - 1)
  if lost > 0 then
    redis.call('HINCRBY', KEYS[4], cursors[i], lost)
    table.insert(reply, cursors[i])
    table.insert(reply, lost)
  end
end
redis.call('XTRIM', KEYS[2], 'MINID', string.format('%.0f', last + 1))
return reply
"""
)
"""Lease, LOG, CURSORS, LOST; token, time before which an entry is old, bytes to keep, bytes at most, most entries in
one step. Replies how many went, then each reader that lost some and how many."""
