-- One line that is easy to read: requests, microseconds, the two percentiles in microseconds, errors.
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format("\nfigures %d %d %d %d %d\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), e.connect + e.read + e.write + e.status))
end
