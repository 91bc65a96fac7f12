"""Where training runs: `local` is a child process of this one."""
