# Sourced by the scripts that start services: prints a port on loopback that nobody listens on.
unused_port() {
  local port
  for _ in {1..50}; do
    port=$((15000 + RANDOM % 15000))
    if ! (: <>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
      echo "$port"
      return
    fi
  done
  fail "found no unused port"
}
