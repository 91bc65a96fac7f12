"""Where training runs: `local` is a child process of this one, `ray` a Ray cluster, which may be this machine."""
