-- Forgets chunks whose results are stored. Doing it twice is doing it once.
-- KEYS: bytes, damaged, then the chunk stream of every partition that is touched.
-- ARGV: group, '1' to keep a copy under `damaged`, then for each chunk: index of its key, partition, id, size in bytes.
for i = 3, #ARGV, 4 do
  local key, partition, id = KEYS[2 + tonumber(ARGV[i])], ARGV[i + 1], ARGV[i + 2]
  if ARGV[2] == '1' then
    local entry = redis.call('XRANGE', key, id, id)[1]
    if entry then
      redis.call('XADD', KEYS[2], 'MAXLEN', '100', '*', 'partition', partition, 'id', id, unpack(entry[2]))
    end
  end
  redis.call('XACK', key, ARGV[1], id)
  if redis.call('XDEL', key, id) == 1 and redis.call('HINCRBY', KEYS[1], partition, -tonumber(ARGV[i + 3])) < 0 then
    redis.call('HSET', KEYS[1], partition, 0)
  end
end
return redis.status_reply('OK')
