-- Checks ES256 access tokens. A verified one is remembered by its whole text until it expires.
local base64 = require "ngx.base64"
local digest = require "openssl.digest"
local json = require "cjson.safe"
local lru = require "resty.lrucache"
local pkey = require "openssl.pkey"

local remembered = lru.new(10000)
local key, issuer, audience, agent
local M = {}

function M.expect(key_file, issuer_, audience_, agent_)
  local file = assert(io.open(key_file))
  key = assert(pkey.new(file:read "*a"))
  file:close()
  issuer, audience, agent = issuer_, audience_, agent_
end

-- A positive INTEGER of DER.
local function integer(bytes)
  bytes = bytes:gsub("^%z+", "")
  if bytes:byte(1) == nil or bytes:byte(1) > 127 then bytes = "\0" .. bytes end
  return "\2" .. string.char(#bytes) .. bytes
end

-- When the token expires; nothing where it does not hold.
local function verify(token)
  local head, claims, signature = token:match "^([^.]+)%.([^.]+)%.([^.]+)$"
  if not head then return nil end
  local header = json.decode(base64.decode_base64url(head) or "")
  if type(header) ~= "table" or header.alg ~= "ES256" then return nil end
  local raw = base64.decode_base64url(signature)
  if not raw or #raw ~= 64 then return nil end
  local body = integer(raw:sub(1, 32)) .. integer(raw:sub(33))
  local der = "\48" .. string.char(#body) .. body
  if not key:verify(der, digest.new("sha256"):update(head .. "." .. claims)) then return nil end
  local said = json.decode(base64.decode_base64url(claims) or "")
  if type(said) ~= "table" or said.iss ~= issuer or said.aud ~= audience or said.sub ~= agent then return nil end
  return tonumber(said.exp)
end

function M.check()
  local header = ngx.var.http_authorization
  local token = header and header:sub(1, 7) == "Bearer " and header:sub(8)
  if not token then return ngx.exit(401) end
  local expires = remembered:get(token)
  if not expires then
    expires = verify(token)
    if not expires then return ngx.exit(401) end
    remembered:set(token, expires)
  end
  if expires <= ngx.time() then return ngx.exit(401) end
end

return M
