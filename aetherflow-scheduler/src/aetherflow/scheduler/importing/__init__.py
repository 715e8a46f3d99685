"""Makes a scheduler document of what starts programs today: crontabs, and timers of systemd."""
