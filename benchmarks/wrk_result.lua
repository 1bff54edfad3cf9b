-- Prints what wrk counted as one line of JSON: exact numbers in fixed units, nothing to parse.
-- Defining only done() leaves wrk's request loop as fast as it is without a script.
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "requests_per_second": %.1f, "p99_ms": %.3f, "errors": %d}\n',
    summary.requests,
    summary.requests * 1e6 / summary.duration,
    latency:percentile(99) / 1000,
    e.connect + e.read + e.write + e.status + e.timeout
  ))
end
