-- Gives partitions back before their lease ends.
-- KEYS: leases, consumers. ARGV: consumer, '1' if it leaves for good, then the partitions.
for i = 3, #ARGV do
  local value = redis.call('HGET', KEYS[1], ARGV[i])
  if value and string.match(value, '^(%S+) ') == ARGV[1] then
    redis.call('HDEL', KEYS[1], ARGV[i])
  end
end
if ARGV[2] == '1' then
  redis.call('ZREM', KEYS[2], ARGV[1])
end
return redis.status_reply('OK')
