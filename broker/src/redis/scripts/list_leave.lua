-- Gives the lock of a list back before its lease ends. KEYS: lock. ARGV: reader.
if redis.call('GET', KEYS[1]) == ARGV[1] then
  redis.call('DEL', KEYS[1])
end
return redis.status_reply('OK')
