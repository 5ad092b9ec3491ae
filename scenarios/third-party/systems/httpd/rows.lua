-- The only lines that are not configuration: what a page does with a database.

local function answer(r, status, text)
  r.status = status
  r.content_type = "application/json"
  r:puts(text)
  return apache2.OK
end

function write(r)
  local id = r.headers_in["X-Request-Id"] or ""
  if r.method ~= "POST" or not id:match("^[%w_.:-]+$") then
    return answer(r, 400, '{"error":"POST with an X-Request-Id"}')
  end
  local db = r:dbacquire("mod_dbd")
  if not db then return answer(r, 503, '{"error":"no connection"}') end
  local rows, failed = db:query(r, "INSERT INTO writes (id) VALUES ('" .. id .. "')")
  db:close()
  if failed or not rows then return answer(r, 503, '{"error":"not written"}') end
  return answer(r, 201, "{}")
end

-- The books are read past every proxy and pool, over a connection of its own.
function audit(r)
  local DBI = require "DBI"
  local env = r.subprocess_env
  local db, why = DBI.Connect(env["AUDIT_KIND"], "app", env["AUDIT_USER"], nil, env["AUDIT_HOST"], tonumber(env["AUDIT_PORT"]))
  if not db then return answer(r, 503, '{"error":"no connection: ' .. tostring(why) .. '"}') end
  local found = db:prepare("SELECT id FROM writes")
  found:execute()
  local out = {}
  for row in found:rows() do
    out[#out + 1] = '{"key":"' .. row[1] .. '","id":"' .. row[1] .. '","effect":1}'
  end
  db:close()
  return answer(r, 200, "[" .. table.concat(out, ",") .. "]")
end
