"""What Redis does in one step, in Lua. Redis 6 and later run them, and Valkey.

Times are Redis' own, in milliseconds, so that the clocks of the machines need not agree. Keys that a script
makes from its arguments stand in no KEYS: Redis in cluster mode would refuse that.
"""

from __future__ import annotations

_NOW = """
local function now()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end
"""

#: A history is a hash with its epoch and the last offset, and a stream whose IDs are OFFSET-0. The hash
#: outlives the messages, so that somebody who comes back late learns that some are missing. Where it is gone,
#: what is left of the stream belongs to an epoch that nobody knows any more.
_EPOCH = """
local function epoch_of(position, messages, new, milliseconds)
  local epoch = redis.call('HGET', position, 'epoch')
  if not epoch then
    epoch = new
    redis.call('DEL', position, messages)
    redis.call('HSET', position, 'epoch', epoch, 'offset', 0)
  end
  if redis.call('PTTL', position) < tonumber(milliseconds) then
    redis.call('PEXPIRE', position, milliseconds)
  end
  return epoch
end
"""

#: KEYS: position, messages. Arguments: a new epoch, how long the position lasts; the channel, the head of the
#: envelope, the data; how many messages are kept, and for how long. Returns the epoch and the offset.
PUBLISH = f"""{_NOW}{_EPOCH}
local epoch = epoch_of(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local offset = string.format('%.0f', redis.call('HINCRBY', KEYS[1], 'offset', 1))
local life = tonumber(ARGV[7])
redis.call('XADD', KEYS[2], 'MAXLEN', ARGV[6], offset .. '-0',
  'until', string.format('%.0f', now() + life), 'data', ARGV[5])
if redis.call('PTTL', KEYS[2]) < life then redis.call('PEXPIRE', KEYS[2], ARGV[7]) end
redis.call('PUBLISH', ARGV[3], ARGV[4] .. epoch .. ':' .. offset .. '\\n' .. ARGV[5])
return {{epoch, offset}}
"""

#: KEYS: position, messages. Arguments: a new epoch, how long the position lasts; the epoch and the offset
#: that were seen last, or two empty ones. Returns the epoch, the offset, and the messages after what was seen
#: as a list of offset, data, offset, data.
RECENT = f"""{_NOW}{_EPOCH}
local epoch = epoch_of(KEYS[1], KEYS[2], ARGV[1], ARGV[2])
local offset = redis.call('HGET', KEYS[1], 'offset')
local found = {{}}
if ARGV[3] ~= '' then
  local first = '-'
  if ARGV[3] == epoch and tonumber(ARGV[4]) <= tonumber(offset) then
    first = string.format('%.0f', ARGV[4] + 1)
  end
  local present = now()
  for _, entry in ipairs(redis.call('XRANGE', KEYS[2], first, '+')) do
    if tonumber(entry[2][2]) > present then
      found[#found + 1] = string.match(entry[1], '^%d+')
      found[#found + 1] = entry[2][4]
    end
  end
end
return {{epoch, offset, found}}
"""

#: Who is there: each process has its members of a channel in a hash, so that its heartbeat is one entry of
#: "alive", however many they are; "channels" of a process and "processes" of a channel find those hashes. The
#: first argument begins all keys.
_PRESENCE = """
local alive = ARGV[1] .. 'alive'
local function channels(process) return ARGV[1] .. 'channels:' .. process end
local function processes(channel) return ARGV[1] .. 'processes:' .. channel end
local function members(process, channel) return ARGV[1] .. 'members:' .. process .. ':' .. channel end
local function out(process, channel)
  redis.call('UNLINK', members(process, channel))
  redis.call('SREM', processes(channel), process)
  redis.call('SREM', channels(process), channel)
end
local function forget(process, most)
  for _, channel in ipairs(redis.call('SRANDMEMBER', channels(process), most)) do out(process, channel) end
  local left = redis.call('SCARD', channels(process))
  if left == 0 then redis.call('ZREM', alive, process) end
  return left
end
"""

#: Arguments: prefix, process; then channel, member, data of each that enters.
ENTER = f"""{_PRESENCE}
local process = ARGV[2]
for i = 3, #ARGV, 3 do
  redis.call('HSET', members(process, ARGV[i]), ARGV[i + 1], ARGV[i + 2])
  redis.call('SADD', processes(ARGV[i]), process)
  redis.call('SADD', channels(process), ARGV[i])
end
"""

#: Arguments: prefix, channel, member.
LEAVE = f"""{_PRESENCE}
for _, process in ipairs(redis.call('SMEMBERS', processes(ARGV[2]))) do
  redis.call('HDEL', members(process, ARGV[2]), ARGV[3])
  if redis.call('EXISTS', members(process, ARGV[2])) == 0 then out(process, ARGV[2]) end
end
"""

#: Arguments: prefix, channel, the life of a heartbeat. Returns a list of member, data, member, data for each
#: process that is alive.
MEMBERS = f"""{_NOW}{_PRESENCE}
local oldest = now() - ARGV[3]
local found = {{}}
for _, process in ipairs(redis.call('SMEMBERS', processes(ARGV[2]))) do
  if tonumber(redis.call('ZSCORE', alive, process) or 0) >= oldest then
    found[#found + 1] = redis.call('HGETALL', members(process, ARGV[2]))
  end
end
return found
"""

#: Arguments: prefix, process, after what silence a process is cleaned away, and how many of its channels at a
#: time. A score of 0 says that the cleaning has begun. Returns 1 unless that of this process had.
BEAT = f"""{_NOW}{_PRESENCE}
local known = tonumber(redis.call('ZSCORE', alive, ARGV[2]) or 0) > 0
redis.call('ZADD', alive, string.format('%.0f', now()), ARGV[2])
for _, dead in ipairs(redis.call('ZRANGEBYSCORE', alive, 0, now() - ARGV[3], 'LIMIT', 0, 10)) do
  redis.call('ZADD', alive, 0, dead)
  forget(dead, ARGV[4])
end
return known and 1 or 0
"""

#: Arguments: prefix, process, how many channels at a time. Returns how many of its channels are left.
FORGET = f"""{_PRESENCE}
return forget(ARGV[2], ARGV[3])
"""
