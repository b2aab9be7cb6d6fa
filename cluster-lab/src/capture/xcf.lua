-- XCF between the images of a lab, for Wireshark and tshark:
--   cluster-lab capture --dissector >xcf.lua
--   wireshark -X lua_script:xcf.lua takeover.pcapng
-- Control datagrams are a header and messages, each with its kind and length; packets that cross XCF
-- stand behind a header of 32 bytes. Fields behind those shown here belong to a later version.

local PORT = 12000

local KINDS = {
  [1] = "HELLO",
  [2] = "HEARTBEAT",
  [3] = "LIST_BEGIN",
  [4] = "DEFINITION",
  [5] = "PRIMARY",
  [6] = "CLAIM",
  [7] = "LIST_END",
  [8] = "REPORT_BEGIN",
  [9] = "REPORT_END",
  [10] = "SRVSTAT",
  [11] = "NEWCONN",
  [12] = "TERMCONN",
  [13] = "ASK",
  [14] = "DENY",
  [15] = "TAKEBACK",
  [16] = "RELEASED",
  [17] = "IDLE",
  [18] = "LEAVING",
  [19] = "LEASE_ASK",
  [20] = "LEASED",
  [21] = "AUDIT",
  [22] = "GONE",
  [23] = "REFUSED",
  [24] = "FORGET",
  [25] = "WORKLOAD",
  [26] = "AFFINITY",
  [27] = "MEASURE",
  [28] = "MEASURED",
}
local PHASES = { [0] = "rebuilding", [1] = "taking back", [2] = "active", [3] = "released" }

local xcf = Proto("xcf", "XCF of a virtual Sysplex")
local f = xcf.fields
f.direction = ProtoField.uint8("xcf.direction", "Direction", base.DEC, { [0] = "inbound", [1] = "outbound" })
f.to_target = ProtoField.bool("xcf.to_target", "Forwarded by the routing stack", 8, nil, 1)
f.entered = ProtoField.bool("xcf.entered", "In the CRT of the routing stack", 8, nil, 2)
f.life = ProtoField.uint64("xcf.life", "Life of the receiver")
f.segment_size = ProtoField.uint16("xcf.segment_size", "Segment size")
f.sender = ProtoField.uint64("xcf.sender", "Sender's life")
f.sender_session = ProtoField.uint32("xcf.sender.session", "Sender's session")
f.receiver = ProtoField.uint64("xcf.receiver", "Receiver's life")
f.receiver_session = ProtoField.uint32("xcf.receiver.session", "Receiver's session")
f.sequence = ProtoField.uint64("xcf.sequence", "Sequence number")
f.acknowledgment = ProtoField.uint64("xcf.acknowledgment", "Acknowledgment")
f.message = ProtoField.uint16("xcf.message", "Message", base.DEC, KINDS)
f.name = ProtoField.string("xcf.name", "Name")
f.dvipa = ProtoField.string("xcf.dvipa", "DVIPA")
f.port = ProtoField.uint16("xcf.port", "Port")
f.connection = ProtoField.string("xcf.connection", "Connection")
f.instance = ProtoField.uint32("xcf.instance", "Instance", base.HEX)
f.target = ProtoField.string("xcf.target", "Target")
f.half_open = ProtoField.bool("xcf.half_open", "Half open")
f.owner = ProtoField.string("xcf.owner", "Owner")
f.incarnation = ProtoField.uint64("xcf.incarnation", "Life")
f.round = ProtoField.uint64("xcf.epoch.round", "Epoch: round")
f.rank = ProtoField.uint8("xcf.epoch.rank", "Epoch: rank")
f.prefix = ProtoField.uint8("xcf.prefix", "Prefix")
f.phase = ProtoField.uint8("xcf.phase", "Phase", base.DEC, PHASES)
f.listeners = ProtoField.uint16("xcf.listeners", "Listeners")
f.count = ProtoField.uint64("xcf.heartbeat.count", "Number")
f.heard = ProtoField.uint64("xcf.heartbeat.heard", "Heard")
f.claims = ProtoField.uint64("xcf.heartbeat.claims", "Digest of claims", base.HEX)
f.connections = ProtoField.uint32("xcf.audit.connections", "Connections")
f.interval = ProtoField.uint16("xcf.interval", "Interval")
f.why = ProtoField.string("xcf.why", "Reason")
f.rest = ProtoField.bytes("xcf.rest", "More")
local malformed = ProtoExpert.new("xcf.malformed", "Malformed message", expert.group.MALFORMED, expert.severity.ERROR)
xcf.experts = { malformed }

-- Reads fields one after the other; an error ends the message.
local Reader = {}
Reader.__index = Reader

function Reader:take(length)
  if self.at + length > self.stop then error("short") end
  local range = self.buffer(self.at, length)
  self.at = self.at + length
  return range
end

function Reader:add(field, length)
  local range = self:take(length)
  self.tree:add(field, range)
  return range
end

function Reader:address()
  local kind = self:take(1):uint()
  if kind == 4 then
    local range = self:take(4)
    return tostring(range:ipv4()), range
  elseif kind == 6 then
    local range = self:take(16)
    return tostring(range:ipv6()), range
  end
  error("no address")
end

function Reader:add_address(field)
  local text, range = self:address()
  self.tree:add(field, range, text)
  return text
end

function Reader:epoch()
  return self:add(f.round, 8):uint64():tonumber() .. "/" .. self:add(f.rank, 1):uint()
end

function Reader:socket()
  local address = self:address()
  local port = self:take(2):uint()
  if address:find(":", 1, true) then address = "[" .. address .. "]" end
  return address .. ":" .. port
end

function Reader:connection()
  local from = self.at
  local dvipa, remote = self:socket(), self:socket()
  local text = remote .. " -> " .. dvipa
  self.tree:add(f.connection, self.buffer(from, self.at - from), text)
  return text
end

-- Of each kind: what follows its name in the list of packets.
local BODIES = {
  HELLO = function(r)
    if r:take(1):uint() == 1 then r:take(4) end
    r:take(2)
    if r.at == r.stop then return "" end
    return r:add(f.name, r.stop - r.at):string()
  end,
  HEARTBEAT = function(r)
    local count = r:add(f.count, 8):uint64():tonumber()
    r:add(f.heard, 8)
    r:add(f.claims, 8)
    return count
  end,
  DEFINITION = function(r) return r:add_address(f.dvipa) end,
  PRIMARY = function(r) return r:add_address(f.dvipa) end,
  CLAIM = function(r)
    local dvipa = r:add_address(f.dvipa)
    local owner = r:add_address(f.owner)
    r:add(f.incarnation, 8)
    local epoch = r:epoch()
    r:add(f.prefix, 1)
    local phase = r:add(f.phase, 1):uint()
    return dvipa .. " by " .. owner .. ", " .. (PHASES[phase] or phase) .. ", epoch " .. epoch
  end,
  SRVSTAT = function(r)
    local dvipa = r:add_address(f.dvipa)
    local port = r:add(f.port, 2):uint()
    return dvipa .. " port " .. port .. (r:add(f.listeners, 2):uint() > 0 and " up" or " down")
  end,
  NEWCONN = function(r)
    local connection = r:connection()
    r:add(f.instance, 4)
    local target = r:add_address(f.target)
    return connection .. " on " .. target .. (r:add(f.half_open, 1):uint() > 0 and ", half open" or "")
  end,
  AUDIT = function(r)
    local dvipa = r:add_address(f.dvipa)
    r:epoch()
    return dvipa .. ", " .. r:add(f.connections, 4):uint() .. " connections"
  end,
  AFFINITY = function(r)
    local dvipa = r:add_address(f.dvipa)
    r:epoch()
    return r:socket() .. " -> " .. dvipa
  end,
  REFUSED = function(r)
    if r.at == r.stop then return "" end
    return r:add(f.why, r.stop - r.at):string()
  end,
}
for _, kind in ipairs({ "TERMCONN", "ASK", "FORGET", "DENY" }) do
  BODIES[kind] = function(r) return r:connection() end
end
for _, kind in ipairs({ "REPORT_BEGIN", "REPORT_END", "TAKEBACK", "RELEASED", "IDLE", "LEASE_ASK", "LEASED" }) do
  BODIES[kind] = function(r)
    local dvipa = r:add_address(f.dvipa)
    return dvipa .. ", epoch " .. r:epoch()
  end
end

for _, kind in ipairs({ "MEASURE", "MEASURED" }) do
  BODIES[kind] = function(r)
    local dvipa = r:add_address(f.dvipa)
    r:epoch()
    return dvipa .. ", interval " .. r:add(f.interval, 2):uint()
  end
end

local function messages(buffer, at, tree)
  local told = {}
  while at + 4 <= buffer:len() do
    local kind, length = buffer(at, 2):uint(), buffer(at + 2, 2):uint()
    local name = KINDS[kind] or ("kind " .. kind)
    local stop = at + 4 + length
    local whole = buffer(at, math.min(4 + length, buffer:len() - at))
    local branch = tree:add(f.message, buffer(at, 2))
    branch:set_len(whole:len())
    local r = setmetatable({ buffer = buffer, at = at + 4, stop = stop, tree = branch }, Reader)
    local fine, text = stop <= buffer:len(), ""
    if fine and BODIES[name] then fine, text = pcall(BODIES[name], r) end
    if not fine then
      branch:add_proto_expert_info(malformed)
      text = "malformed"
    elseif r.at < stop then
      branch:add(f.rest, buffer(r.at, stop - r.at))
    end
    if text ~= "" then branch:append_text(": " .. text) end
    told[#told + 1] = name .. (text ~= "" and " " .. text or "")
    at = stop
  end
  return told
end

local ip = Dissector.get("ip")
local ipv6 = Dissector.get("ipv6")

function xcf.dissector(buffer, pinfo, tree)
  if buffer:len() < 2 then return 0 end
  local magic, version = buffer(0, 1):uint(), buffer(1, 1):uint()
  if magic == 0xC7 and version == 1 and buffer:len() >= 44 then
    pinfo.cols.protocol = "XCF"
    local branch = tree:add(xcf, buffer())
    branch:add(f.sender, buffer(4, 8))
    branch:add(f.sender_session, buffer(12, 4))
    branch:add(f.receiver, buffer(16, 8))
    branch:add(f.receiver_session, buffer(24, 4))
    branch:add(f.sequence, buffer(28, 8))
    branch:add(f.acknowledgment, buffer(36, 8))
    local told = messages(buffer, 44, branch)
    pinfo.cols.info = #told > 0 and table.concat(told, "; ") or "acknowledgment"
    return buffer:len()
  elseif magic == 0xD7 and version == 1 and buffer:len() > 32 then
    local branch = tree:add(xcf, buffer(0, 32))
    branch:add(f.direction, buffer(2, 1))
    branch:add(f.to_target, buffer(3, 1))
    branch:add(f.entered, buffer(3, 1))
    branch:add(f.round, buffer(4, 8))
    branch:add(f.rank, buffer(12, 1))
    branch:add(f.segment_size, buffer(20, 2))
    branch:add(f.interval, buffer(22, 2))
    branch:add(f.life, buffer(24, 8))
    local packet = buffer(32):tvb()
    local inner = bit.rshift(packet(0, 1):uint(), 4) == 6 and ipv6 or ip
    inner:call(packet, pinfo, tree)
    pinfo.cols.protocol = "XCF/" .. tostring(pinfo.cols.protocol)
    return buffer:len()
  end
  return 0
end

DissectorTable.get("udp.port"):add(PORT, xcf)
