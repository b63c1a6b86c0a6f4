-- Sends the requests of a folder in turn, and prints what was measured as one line of JSON.
local folder, count = os.getenv("BENCH_REQUESTS"), tonumber(os.getenv("BENCH_COUNT"))
local requests, turn = {}, 0

function init()
  for number = 1, count do
    local file = assert(io.open(folder .. "/" .. number .. ".http", "rb"))
    requests[number] = file:read("*a")
    file:close()
  end
end

function request()
  turn = turn % count + 1
  return requests[turn]
end

function done(summary, latency)
  local errors = summary.errors
  local points = {}
  for point in os.getenv("BENCH_POINTS"):gmatch("[^,]+") do
    points[#points + 1] = string.format("%.0f", latency:percentile(tonumber(point)))
  end
  io.write(string.format(
    'RESULT {"requests":%d,"duration_us":%d,"latency_us":[%s],"refused":%d,"broken":%d}\n',
    summary.requests, summary.duration, table.concat(points, ","), errors.status,
    errors.connect + errors.read + errors.write + errors.timeout))
end
