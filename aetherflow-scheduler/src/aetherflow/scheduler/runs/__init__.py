"""The runs of slots: requested, started, watched, ended, taken over from processes that have died."""
