-- Says that a consumer lives, renews its partitions, gives it free ones up to its fair share, and adopts what their last owners left.
-- KEYS: leases, consumers, bytes, then the chunk stream of every partition.
-- ARGV: group, consumer, epoch of its connection, lease in ms, from when a consumer without pending chunks is forgotten, in ms.
-- Returns: fair share, partitions kept, partitions new to this epoch; or nothing if a later epoch of this consumer has been seen.
local group, me, epoch, lease = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local partitions = #KEYS - 3
local time = redis.call('TIME')
local now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
local kept, fresh, free = {}, {}, {}
for partition = 0, partitions - 1 do
  local value = redis.call('HGET', KEYS[1], partition)
  local owner, of_epoch, expiry
  if value then
    owner, of_epoch, expiry = string.match(value, '^(%S+) (%d+) (%d+)$')
  end
  if owner == me then
    if tonumber(of_epoch) > epoch then
      return {}
    end
    local list = tonumber(of_epoch) == epoch and kept or fresh
    list[#list + 1] = partition
  elseif not owner or tonumber(expiry) < now then
    free[#free + 1] = partition
  end
end
redis.call('ZADD', KEYS[2], string.format('%.0f', now + lease), me)
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', string.format('(%.0f', now))
local share = math.ceil(partitions / redis.call('ZCARD', KEYS[2]))
for _, partition in ipairs(free) do
  if #kept + #fresh >= share then
    break
  end
  fresh[#fresh + 1] = partition
end
local value = string.format('%s %d %.0f', me, epoch, now + lease)
for _, partition in ipairs(kept) do
  redis.call('HSET', KEYS[1], partition, value)
end
for _, partition in ipairs(fresh) do
  redis.call('HSET', KEYS[1], partition, value)
  local key = KEYS[4 + partition]
  local made = redis.pcall('XGROUP', 'CREATE', key, group, '0', 'MKSTREAM')
  if made.err and not string.find(made.err, 'BUSYGROUP', 1, true) then
    return made
  end
  local cursor = '0-0'
  repeat
    cursor = redis.call('XAUTOCLAIM', key, group, me, 0, cursor, 'COUNT', 1000, 'JUSTID')[1]
  until cursor == '0-0'
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', key, group)) do
    -- name, its value, pending, its value, idle, its value
    if consumer[2] ~= me and consumer[4] == 0 and consumer[6] > tonumber(ARGV[5]) then
      redis.call('XGROUP', 'DELCONSUMER', key, group, consumer[2])
    end
  end
  -- Heals the count where the stream was removed by someone else.
  if redis.call('XLEN', key) == 0 then
    redis.call('HDEL', KEYS[3], partition)
  end
end
return { share, kept, fresh }
