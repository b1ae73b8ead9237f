# A server by Nomad's driver raw_exec: see on-nomad.md.
job "web" {
  type = "service"

  update {
    max_parallel     = 1
    canary           = 1
    auto_promote     = true
    min_healthy_time = "5s"
    healthy_deadline = "2m"
  }

  group "web" {
    count          = 2
    shutdown_delay = "5s"

    network {
      port "http" {}
      port "probes" {}
    }

    service {
      name     = "web"
      port     = "http"
      provider = "nomad"

      check {
        type     = "http"
        path     = "/readyz"
        port     = "probes"
        interval = "2s"
        timeout  = "2s"
      }
    }

    task "web" {
      driver       = "raw_exec"
      user         = "nobody"
      kill_signal  = "SIGTERM"
      kill_timeout = "40s"

      artifact {
        source = "https://example.com/server.wasm"
      }

      template {
        destination   = "local/service.toml"
        change_mode   = "signal"
        change_signal = "SIGHUP"
        data          = <<-EOF
          max-connections = 1000
          drain-timeout = "20s"
          drain-idle = "5s"
          reload-signal = "HUP"
          log-format = "json"
        EOF
      }

      config {
        command = "/usr/local/bin/wasock"
        args = [
          "run",
          "--config", "local/service.toml",
          "--listen", ":${NOMAD_PORT_http}",
          "--probes", ":${NOMAD_PORT_probes}",
          "local/server.wasm",
          "0.0.0.0:${NOMAD_PORT_http}",
        ]
      }

      resources {
        cpu    = 200
        memory = 256
      }
    }
  }
}
