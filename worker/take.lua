-- Take the next messages and note that they are unacknowledged, in one step. And take the note away of those that have
-- been acknowledged since.
--
-- KEYS: the lists to look at, in this order, then the sorted set and the hash in which kombu's QoS notes what is
-- unacknowledged. ARGV: kombu's separator within names of lists; how many messages are sorted by tenant at a time;
-- for each list whether its messages will be acknowledged, 1 or 0; how many messages to take at most; and the tags of
-- those that have been acknowledged. Returns lists and messages in turn.
--
-- Messages that name a tenant leave their list for one of the tenant's own, `<list><sep>tenant<sep><hash>`, and tenants
-- take turns, in the order of `<list><sep>tenants`. Those that name none are one more tenant then.

local lists = #KEYS - 2
local unacked, index = KEYS[#KEYS], KEYS[#KEYS - 1]
local separator, at_a_time, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3 + lists])
local now = redis.call('TIME')[1]

local function decoded(item)
    local is_message, message = pcall(cjson.decode, item)
    return is_message and type(message) == 'table' and message or {}
end

local function tenant_of(headers)
    -- Senders that set no header of their own have Celery's, which shows their arguments as Python writes them.
    local shown = type(headers.kwargsrepr) == 'string' and headers.kwargsrepr or ''
    local tenant = headers.tenant or shown:match("'metadata': {[^}]-'tenant': '([^']+)'")
    -- Hashed, since it may be as long as its sender likes, and private.
    return type(tenant) == 'string' and tenant ~= '' and redis.sha1hex(tenant) or ''
end

-- A message, as it stands in its list and decoded; false where there is none.
local function take(list)
    local turns = list .. separator .. 'tenants'
    local own = list .. separator .. 'tenant' .. separator
    local are_sorted = redis.call('EXISTS', turns) == 1
    for _ = 1, at_a_time do
        local item = redis.call('RPOP', list)
        if not item then
            break
        end
        local message = decoded(item)
        local headers = type(message.headers) == 'table' and message.headers or {}
        local tenant = tenant_of(headers)
        if tenant == '' and not are_sorted then
            return item, message
        end
        are_sorted = true
        -- What was in some node's hands before had its turn already.
        local push = headers.redelivered and 'RPUSH' or 'LPUSH'
        if redis.call(push, own .. tenant, item) == 1 then
            redis.call(push, turns, tenant)
        end
    end
    local tenant = are_sorted and redis.call('RPOP', turns)
    while tenant do
        local item = redis.call('RPOP', own .. tenant)
        if redis.call('EXISTS', own .. tenant) == 1 then
            redis.call('LPUSH', turns, tenant)
        end
        -- What a tenant had left may have been erased.
        if item then
            return item, decoded(item)
        end
        tenant = redis.call('RPOP', turns)
    end
    return false
end

local function note(item, message)
    local properties = message.properties
    local from = properties.delivery_info
    local whole = {item, cjson.encode(from.exchange), cjson.encode(from.routing_key)}
    redis.call('HSET', unacked, properties.delivery_tag, '[' .. table.concat(whole, ',') .. ']')
    redis.call('ZADD', index, now, properties.delivery_tag)
end

for first = lists + 4, #ARGV, 1000 do
    local tags = {unpack(ARGV, first, math.min(first + 999, #ARGV))}
    redis.call('ZREM', index, unpack(tags))
    redis.call('HDEL', unacked, unpack(tags))
end
local taken = {}
for number = 1, lists do
    local list = KEYS[number]
    while #taken < 2 * most and redis.call('EXISTS', list, list .. separator .. 'tenants') > 0 do
        local item, message = take(list)
        if item then
            if ARGV[2 + number] == '1' then
                pcall(note, item, message)
            end
            taken[#taken + 1], taken[#taken + 2] = list, item
        end
    end
end
return taken
