-- One replica reports on one budget and is told its cap. KEYS[1] is the budget, a hash of `replica` to
-- `cap used seen ends`; beside the replicas it holds `born` and `pressed`.
-- ARGV: replica, limit, used, wanted, lacks, keep, grace, replicas known. All times in milliseconds of this server.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local me, limit, used, wanted = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local keep, grace = tonumber(ARGV[6]), tonumber(ARGV[7])
local born, pressed, others, free, replicas, last = nil, 0, 0, limit - used, 1, now + keep
local fields = redis.call('HGETALL', KEYS[1])
for i = 1, #fields, 2 do
  local name, value = fields[i], fields[i + 1]
  if name == 'born' then
    born = tonumber(value)
  elseif name == 'pressed' then
    pressed = tonumber(value)
  elseif name ~= me then
    local cap, its, seen, ends = string.match(value, '(%d+) (%d+) (%d+) (%d+)')
    if now >= tonumber(ends) then
      redis.call('HDEL', KEYS[1], name)
    else
      others = others + math.max(tonumber(cap), tonumber(its))
      free = free - tonumber(its)
      last = math.max(last, tonumber(ends))
      if now - tonumber(seen) < grace then
        replicas = replicas + 1
      end
    end
  end
end
if not born then
  born = now
  redis.call('HSET', KEYS[1], 'born', string.format('%.0f', now))
end
if ARGV[5] == '1' then
  pressed = now
  redis.call('HSET', KEYS[1], 'pressed', string.format('%.0f', now))
end
-- Whoever has not reported since this began may have used its even part.
if now - born < grace then
  wanted = math.min(wanted, math.floor(limit / math.max(replicas, tonumber(ARGV[8]))))
end
local cap = math.max(used, math.min(wanted, limit - others))
redis.call('HSET', KEYS[1], me, string.format('%.0f %.0f %.0f %.0f', cap, used, now, now + keep))
redis.call('PEXPIRE', KEYS[1], math.floor(last - now + grace))
return {cap, replicas, math.max(0, free), (now - pressed < 5000) and 1 or 0}
